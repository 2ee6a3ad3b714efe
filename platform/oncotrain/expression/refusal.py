"""An input that was not taken, and why."""

from collections.abc import Iterable
from typing import NamedTuple

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.quarantine import accept, list_refused, refuse


class Refusal(NamedTuple):
    """`source` names what was refused, with pseudonyms for patients and samples; `reason` is for the data engineer."""

    source: str
    reason: str


def record_refusals(lake: Lake, dataset: str, refusals: Iterable[Refusal]) -> int:
    """Make the quarantine of `dataset` say exactly these refusals, one entry a source. Returns how many sources."""
    reasons: dict[str, list[str]] = {}
    for source, reason in refusals:
        reasons.setdefault(source, []).append(reason)
    for earlier in list_refused(lake, dataset):
        if earlier.source not in reasons:
            accept(lake, dataset, earlier.source)
    for source, of_source in reasons.items():
        refuse(lake, dataset, source, "; ".join(of_source))
    return len(reasons)

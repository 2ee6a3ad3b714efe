"""Refused inputs and why, in the `quarantine` zone, one JSON file a source.

The zone may be entered by the lake's owner alone (mode 0700), for a source's name may identify a patient.
"""

import hashlib
import json
from datetime import UTC, datetime

from oncotrain.config import Frozen
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.names import require_slug


class Refusal(Frozen):
    """One refused input."""

    source: str
    """Relative name of the input in `landing` or in the manifest that named it."""
    reason: str
    time: str
    """UTC, ISO 8601."""


def refuse(lake: Lake, dataset: str, source: str, reason: str) -> None:
    """Note that `source` was kept out of `dataset`; a newer reason replaces an older one."""
    require_layout(lake)
    refusal = Refusal(source=source, reason=reason, time=datetime.now(UTC).isoformat(timespec="seconds"))
    lake.write_atomic(refusal.model_dump_json().encode(), *_place(dataset, source))


def accept(lake: Lake, dataset: str, source: str) -> None:
    """Forget an earlier refusal of `source`, which has been taken into `dataset` now."""
    if lake.exists(*_place(dataset, source)):
        lake.fs.rm_file(lake.path(*_place(dataset, source)))


def list_refused(lake: Lake, dataset: str) -> list[Refusal]:
    """What was refused and not accepted since, by source name."""
    names = lake.list("quarantine", require_slug("dataset", dataset))
    refusals = [
        Refusal(**json.loads(lake.read_bytes("quarantine", dataset, name))) for name in names if name.endswith(".json")
    ]
    return sorted(refusals, key=lambda refusal: refusal.source)


def _place(dataset: str, source: str) -> tuple[str, ...]:
    name = hashlib.sha256(source.encode()).hexdigest()[:32]
    return "quarantine", require_slug("dataset", dataset), f"{name}.json"

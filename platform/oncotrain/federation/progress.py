"""How far a federated run is, at either side: `runs/<run>/progress.json` in that side's own lake."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from oncotrain.config.load import Frozen, parse
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory

FILE = "progress.json"
_RECENT = 5
"""Rounds from whose length that of the others is foretold."""


State = Literal["training", "testing", "done"]


class Progress(Frozen):
    """What a person wants to know of a run that goes on."""

    side: str
    """``coordinator``, or the site's name."""
    run: str
    state: State
    round: int
    """Rounds that are over."""
    rounds: int
    participants: list[str]
    """Sites whose updates are in the last round; at a site, itself."""
    figures: dict[str, float | None] = Field(default_factory=dict)
    """Of the last validation; the coordinator's alone."""
    seconds_left: float | None = None
    """Until the last round is over, if the others take as long as those before."""
    updated: datetime = Field(default_factory=lambda: datetime.now(UTC))


def seconds_left(seconds: Sequence[float], rounds: int) -> float | None:
    """What `rounds` more take, by the median of the last few that took `seconds`; None if there were none."""
    return statistics.median(seconds[-_RECENT:]) * rounds if seconds else None


def write_progress(run: RunDirectory, progress: Progress) -> None:
    """Replace what was said before."""
    run.write_json(progress.model_dump(mode="json"), FILE)


def read_progress(lake: Lake) -> list[Progress]:
    """Of every federated run in `lake`, the one with the newest word last."""
    runs = [RunDirectory(lake, name) for name in lake.list("runs")]
    found = [parse(Progress, run.read_json(FILE), f"{run.uri}/{FILE}") for run in runs if run.exists(FILE)]
    return sorted(found, key=lambda progress: progress.updated)

"""What the coordinator's job and the app that Flower runs for it tell each other, through two files."""

from pathlib import Path
from typing import Any

from oncotrain.config import Frozen
from oncotrain.config.training import RunConfig

JOB, OUTCOME, LOG = "job.json", "outcome.json", "federate.log"


class Job(Frozen):
    """What the app is to conduct."""

    lake: str
    """URI of the coordinator's lake."""
    config: RunConfig
    source: str
    """The configuration's file, for messages."""
    nodes: dict[int, str]
    """Admitted sites, by the number of their node."""


class Outcome(Frozen):
    """How it ended: a summary, or an error for the user and the job's exit code."""

    summary: dict[str, Any] | None = None
    error: str = ""
    exit_code: int = 0


def write_job(work: Path, job: Job) -> Path:
    """Put the job where the app finds it, and forget an earlier outcome."""
    for name in (OUTCOME, LOG):
        (work / name).unlink(missing_ok=True)
    path = work / JOB
    path.write_text(job.model_dump_json(), encoding="utf-8")
    return path


def write_outcome(work: Path, outcome: Outcome) -> None:
    """Leave the outcome, whole or not at all."""
    partial = work / f"{OUTCOME}.partial"
    partial.write_text(outcome.model_dump_json(), encoding="utf-8")
    partial.rename(work / OUTCOME)


def read_outcome(work: Path) -> Outcome | None:
    """The outcome, or None as long as there is none."""
    path = work / OUTCOME
    return Outcome.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

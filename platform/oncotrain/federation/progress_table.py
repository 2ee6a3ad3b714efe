"""Progress as a table for a person."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rich.table import Table

from oncotrain.federation.progress import Progress


def progress_table(progress: Iterable[Progress], now: datetime | None = None) -> Table:
    """A row a run: what it does, since when nothing new was heard, how long it may take."""
    table = Table("run", "side", "state", "round", "sites in it", "figures", "left", "last word")
    now = now or datetime.now(UTC)
    for each in progress:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in each.figures.items() if value is not None)
        left = "" if each.state == "done" or each.seconds_left is None else _span(each.seconds_left)
        ago = f"{_span((now - each.updated).total_seconds())} ago"
        rounds = f"{each.round} of {each.rounds}"
        table.add_row(each.run, each.side, each.state, rounds, ", ".join(each.participants), figures, left, ago)
    return table


def _span(seconds: float) -> str:
    """Such as ``0:01:30``."""
    return str(timedelta(seconds=round(max(0.0, seconds))))

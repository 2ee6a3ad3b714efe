"""Laid-out lakes in a test's own folder."""

from pathlib import Path

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout


def make_lake(path: Path) -> Lake:
    """A new, empty, laid-out lake at `path`."""
    lake = Lake(f"file://{path}")
    apply_layout(lake)
    return lake

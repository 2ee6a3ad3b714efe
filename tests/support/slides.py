"""A delivery of slides as tests make it."""

from pathlib import Path
from typing import NamedTuple

SITE = "uz-leuven"


class Delivery(NamedTuple):
    """The manifest, the slides that can be taken, and the reason expected for each of the others."""

    manifest: Path
    good: list[str]
    bad: dict[str, str]

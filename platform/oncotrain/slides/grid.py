"""Where the tiles of a slide lie: coordinates first, pixels later."""

from collections.abc import Iterator
from typing import NamedTuple


class Tile(NamedTuple):
    """Upper-left corner and the size inside the slide, in pixels of the dataset's spacing."""

    x: int
    y: int
    width: int
    height: int


def grid(width: int, height: int, side: int) -> Iterator[Tile]:
    """Squares of `side` from the upper-left corner, row by row; those at the far edges are cut to the slide.

    Every pixel of the (width, height) slide lies in exactly one tile.
    """
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield Tile(x, y, min(side, width - x), min(side, height - y))

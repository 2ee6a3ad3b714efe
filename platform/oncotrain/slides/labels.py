"""What is known about a tile's pixels, from whichever kind of annotation."""

from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from oncotrain.slides.grid import Tile

INSTANCES = 1
"""Bit of `Labels.labelled`: whether a nucleus lies here is known."""
CLASSES = 2
"""Bit of `Labels.labelled`: this is background, or a nucleus whose class is known."""


class Labels(NamedTuple):
    """Rasters (height, width) of one tile.

    `instances` int32: 0 background, otherwise the object's id, the same in every tile of the slide.
    `classes` uint8: 0 background or unknown, otherwise 1 + position in the configuration's `classes`.
    `labelled` uint8: the bits `INSTANCES` and `CLASSES`.
    """

    instances: np.ndarray
    classes: np.ndarray
    labelled: np.ndarray


class Objects(NamedTuple):
    """Annotated objects and a tile: what makes counting over tiles exact."""

    counted: int
    """Objects of which this tile holds the one point that counts; each object of a slide counts in one tile."""
    cut: np.ndarray
    """int32 (n,): ids of the objects near this tile that reach beyond its edge."""


class Extents(NamedTuple):
    """Where the annotated objects of a slide lie, in pixels of the dataset's spacing."""

    ids: np.ndarray
    """int32 (n,)."""
    bounds: np.ndarray
    """(n, 4): left, top, right, bottom."""
    anchors: np.ndarray
    """(n, 2): x and y of the one point of each that counts; NaN for an object outside the slide."""

    def take(self, places: np.ndarray) -> "Extents":
        """Those at `places` alone."""
        return Extents(self.ids[places], self.bounds[places], self.anchors[places])

    def objects(self, tile: Tile) -> Objects:
        """See `Annotations.objects`."""
        x, y = self.anchors.T
        left, top, right, bottom = self.bounds.T
        end_x, end_y = tile.x + tile.width, tile.y + tile.height
        counted = (tile.x <= x) & (x < end_x) & (tile.y <= y) & (y < end_y)
        near = (left < end_x) & (right > tile.x) & (top < end_y) & (bottom > tile.y)
        beyond = (left < tile.x) | (right > end_x) | (top < tile.y) | (bottom > end_y)
        return Objects(int(counted.sum()), self.ids[near & beyond])


class Annotations(Protocol):
    """The annotations of one slide at the dataset's spacing."""

    def labels(self, tile: Tile) -> Labels:
        """Rasters of the tile's part inside the slide."""

    def objects(self, tile: Tile) -> Objects:
        """The objects that count in the tile, and those that its edge cuts."""

    def touches(self, tile: Tile) -> bool:
        """Whether an annotated nucleus may reach into the tile."""


class Unlabelled:
    """`Annotations` of a slide that has none."""

    def labels(self, tile: Tile) -> Labels:
        """Nothing is known."""
        return _nothing(tile.height, tile.width)

    def objects(self, tile: Tile) -> Objects:  # noqa: ARG002 - the seam's signature
        """None."""
        return Objects(0, np.zeros(0, np.int32))

    def touches(self, tile: Tile) -> bool:  # noqa: ARG002 - the seam's signature
        """Never."""
        return False


@lru_cache(maxsize=4)
def _nothing(height: int, width: int) -> Labels:
    nothing = Labels(*(np.zeros((height, width), dtype) for dtype in (np.int32, np.uint8, np.uint8)))
    for raster in nothing:
        raster.flags.writeable = False
    return nothing


def known(instances: np.ndarray, classes: np.ndarray, *, has_classes: bool) -> np.ndarray:
    """`Labels.labelled` of an area where every nucleus is annotated."""
    labelled = np.full(instances.shape, INSTANCES, np.uint8)
    if has_classes:
        labelled[(instances == 0) | (classes > 0)] |= CLASSES
    return labelled

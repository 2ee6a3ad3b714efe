"""What is known about a tile's pixels, from whichever kind of annotation."""

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


class Annotations(Protocol):
    """The annotations of one slide at the dataset's spacing."""

    def labels(self, tile: Tile) -> Labels:
        """Rasters of the tile's part inside the slide."""

    def touches(self, tile: Tile) -> bool:
        """Whether an annotated nucleus may reach into the tile."""


class Unlabelled:
    """`Annotations` of a slide that has none."""

    def labels(self, tile: Tile) -> Labels:
        """Nothing is known."""
        shape = (tile.height, tile.width)
        return Labels(np.zeros(shape, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))

    def touches(self, tile: Tile) -> bool:  # noqa: ARG002 - the seam's signature
        """Never."""
        return False


def known(instances: np.ndarray, classes: np.ndarray, *, has_classes: bool) -> np.ndarray:
    """`Labels.labelled` of an area where every nucleus is annotated."""
    labelled = np.full(instances.shape, INSTANCES, np.uint8)
    if has_classes:
        labelled[(instances == 0) | (classes > 0)] |= CLASSES
    return labelled

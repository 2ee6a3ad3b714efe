"""What a first look at a slide finds: how it is read, and where its tiles lie. Coordinates first, pixels later."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oncotrain.config import Frozen
from oncotrain.config.slides import SlidesConfig
from oncotrain.slides.grid import Tile, grid
from oncotrain.slides.labels import Annotations
from oncotrain.slides.slide import Slide
from oncotrain.slides.tissue import find_areas, share


class Spot(NamedTuple):
    """A tile to store, and what its part of the thumbnail shows: shares of its area inside the slide."""

    x: int
    y: int
    width: int
    height: int
    tissue: float
    pen: float
    fold: float

    @property
    def tile(self) -> Tile:
        """Where it lies."""
        return Tile(*self[:4])


class Survey(Frozen):
    """The result, kept as JSON until the slide's rows are written."""

    reader: str
    """One of `oncotrain.slides.reader.READERS`."""
    vendor: str
    mpp: tuple[float, float]
    """µm per pixel of level 0 that were taken for true."""
    size: tuple[int, int]
    """Width and height of level 0 in pixels."""
    tiles: int
    """How many spots lie beside it as `spots.npy`."""


def pack_spots(spots: Sequence[Spot]) -> bytes:
    """NumPy's format, float64 (n, 7)."""
    stream = io.BytesIO()
    np.save(stream, np.array(spots, np.float64).reshape(-1, len(Spot._fields)), allow_pickle=False)
    return stream.getvalue()


def unpack_spots(data: bytes, start: int, stop: int) -> list[Spot]:
    """Those from number `start` up to `stop`, in storage order."""
    rows = np.load(io.BytesIO(data), allow_pickle=False)[start:stop].tolist()
    return [Spot(*map(int, row[:4]), *row[4:]) for row in rows]


def find_spots(slide: Slide, thumbnail: np.ndarray, annotations: Annotations, config: SlidesConfig) -> list[Spot]:
    """The tiles to store, from a thumbnail alone: those with tissue, and those that an annotated nucleus touches."""
    areas = find_areas(thumbnail)
    candidates = (
        Spot(*tile, *(share(mask, tile, config.spacing) for mask in areas))
        for tile in grid(*slide.dimensions_at(config.spacing), config.tile)
    )
    return [spot for spot in candidates if spot.tissue >= config.min_tissue or annotations.touches(spot.tile)]

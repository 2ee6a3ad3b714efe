"""A slide at a physical spacing: callers name µm per pixel, never a pyramid level."""

from collections.abc import Callable
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from PIL import Image

from oncotrain.errors import DataError
from oncotrain.slides.reader import SlideReader

LARGEST = 4000.0
"""mm² of a picture, beyond the largest slides (75 x 50 mm): a header that says more is damaged or a trap."""
SPACINGS = (0.02, 20.0)
"""µm per pixel that a scanner or camera can have; anything else is a mistake in the file or the manifest."""
SCANNED = 128
"""Alpha from which on a pixel was scanned."""
BLOCK = 128
"""Side of the blocks that a thumbnail is put together from: bounds the memory on slides without a pyramid."""


class Region(NamedTuple):
    """Part of a slide: `pixels` uint8 (height, width, 3) RGB, white where not scanned; `valid` bool (height, width)."""

    pixels: np.ndarray
    valid: np.ndarray


class Slide:
    """A reader and the spacing of its level 0 in µm per pixel along x and y."""

    def __init__(self, reader: SlideReader, mpp: tuple[float, float]) -> None:
        if not all(SPACINGS[0] <= value <= SPACINGS[1] for value in mpp):
            raise DataError(f"has a spacing of {mpp[0]:g} x {mpp[1]:g} µm per pixel; allowed: {SPACINGS}")
        area = reader.level_dimensions[0][0] * mpp[0] * reader.level_dimensions[0][1] * mpp[1] / 1e6
        if area > LARGEST:
            raise DataError(f"is {area:.0f} mm² large by its header; allowed: {LARGEST:g}")
        self._reader = reader
        self.mpp = mpp
        self.dimensions = reader.level_dimensions[0]

    def dimensions_at(self, spacing: float) -> tuple[int, int]:
        """(width, height) in pixels of `spacing`; a last pixel that would hang over the edge is left out."""
        width, height = (
            floor(size * mpp / spacing + 1e-6) for size, mpp in zip(self.dimensions, self.mpp, strict=True)
        )
        return width, height

    def region(self, x: int, y: int, width: int, height: int, spacing: float) -> Region:
        """Read a rectangle that lies inside `dimensions_at(spacing)`, in pixels of `spacing`.

        Comes from the coarsest level that is at least as fine as `spacing`, by bilinear interpolation that averages
        over the whole footprint of a pixel (antialiased); copied untouched where the level has that very spacing.
        Coordinates are exact, so that neighbouring regions join without a seam.
        """
        level = self._level(spacing)
        columns = self._span(0, level, x, width, spacing)
        rows = self._span(1, level, y, height, spacing)
        source = self._reader.read(level, columns.start, rows.start, columns.size, rows.size)
        box = (columns.low, rows.low, columns.high, rows.high)
        if box != (0, 0, width, height) or source.shape[:2] != (height, width):
            resized = Image.fromarray(source).resize((width, height), Image.Resampling.BILINEAR, box=box)
            source = np.asarray(resized)
        if source.shape[2] == len("RGB"):
            return Region(source, np.ones((height, width), bool))
        valid = source[..., 3] >= SCANNED
        if valid.all():
            return Region(np.ascontiguousarray(source[..., :3]), valid)
        white = Image.new("RGBA", (width, height), "white")
        return Region(np.asarray(Image.alpha_composite(white, Image.fromarray(source)).convert("RGB")), valid)

    def thumbnail(self, spacing: float, beat: Callable[[], None] = lambda: None) -> np.ndarray:
        """The whole slide at a coarse `spacing`: uint8 (height, width, 3). `beat` is called after each block of it."""
        width, height = (max(size, 1) for size in self.dimensions_at(spacing))
        pixels = np.empty((height, width, 3), np.uint8)
        for y in range(0, height, BLOCK):
            for x in range(0, width, BLOCK):
                block = pixels[y : y + BLOCK, x : x + BLOCK]
                block[:] = self.region(x, y, block.shape[1], block.shape[0], spacing).pixels
                beat()
        return pixels

    def _level(self, spacing: float) -> int:
        finer = [
            level
            for level, downsample in enumerate(self._reader.level_downsamples)
            if downsample * max(self.mpp) <= spacing * 1.001
        ]
        return finer[-1] if finer else 0

    def _span(self, axis: int, level: int, start: int, size: int, spacing: float) -> "_Span":
        limit = self._reader.level_dimensions[level][axis]
        factor = spacing / (self.mpp[axis] * self._reader.level_downsamples[level])
        if abs(factor - 1) < 1e-9:
            return _Span(start, size, 0, size)
        low, high = start * factor, min((start + size) * factor, limit)
        margin = ceil(max(factor, 1))
        first, last = max(floor(low) - margin, 0), min(ceil(high) + margin, limit)
        return _Span(first, last - first, low - first, high - first)


class _Span(NamedTuple):
    """Pixels of a level to read along one axis, and where the wanted stretch lies among them."""

    start: int
    size: int
    low: float
    high: float

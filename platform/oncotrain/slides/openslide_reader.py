"""Slides that OpenSlide reads: SVS, NDPI, MIRAX, SCN, BIF, tiled TIFF, DICOM."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openslide

from oncotrain.errors import DataError
from oncotrain.slides.jpeg_tiles import JpegTiles

PLAIN = ("aperio", "generic-tiff")
"""Vendors whose levels are TIFF directories without overlaps: JPEG tiles are decoded without OpenSlide's composing."""


class OpenSlideReader:
    """`SlideReader` over one OpenSlide handle; open it in the process that uses it."""

    def __init__(self, path: Path) -> None:
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError:
            raise DataError("is damaged: OpenSlide cannot open it") from None
        properties = self._slide.properties
        if properties.get("dicom.BurnedInAnnotation") == "YES":
            self._slide.close()
            raise DataError("has annotations burned into its pixels")
        self.vendor: str = properties[openslide.PROPERTY_NAME_VENDOR]
        self.mpp = _mpp(properties.get(openslide.PROPERTY_NAME_MPP_X), properties.get(openslide.PROPERTY_NAME_MPP_Y))
        self.level_dimensions: tuple[tuple[int, int], ...] = self._slide.level_dimensions
        self.level_downsamples: tuple[float, ...] = self._slide.level_downsamples
        whole = [downsample.is_integer() and self.vendor in PLAIN for downsample in self.level_downsamples]
        sizes = zip(self.level_dimensions, whole, strict=True)
        self._tiles = JpegTiles(path, [size if is_whole else None for size, is_whole in sizes])

    @staticmethod
    def understands(path: Path, *, generic: bool = True) -> bool:
        """Whether OpenSlide recognizes the file's format; as any tiled TIFF only if `generic`."""
        vendor = openslide.OpenSlide.detect_format(path)
        return vendor is not None and (generic or vendor != "generic-tiff")

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `SlideReader.read`."""
        if (pixels := self._tiles.read(level, x, y, width, height)) is not None:
            return pixels
        downsample = self.level_downsamples[level]
        corner = (round(x * downsample), round(y * downsample))
        try:
            return np.asarray(self._slide.read_region(corner, level, (width, height)))
        except openslide.OpenSlideError:
            raise DataError(f"is damaged: pixels of level {level} cannot be decoded") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tiles.close()
        self._slide.close()


def _mpp(x: str | None, y: str | None) -> tuple[float, float] | None:
    return (float(x), float(y)) if x and y else None

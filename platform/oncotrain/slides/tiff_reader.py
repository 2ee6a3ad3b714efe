"""OME-TIFF and BigTIFF that OpenSlide does not read as slides: pyramids in SubIFDs, strips, any compression.

Format: https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html
"""

from itertools import product
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np
import tifffile

from oncotrain.errors import DataError

MICROMETRES = {"µm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
"""Units that OME-XML's PhysicalSizeX may have; `µm` where it names none."""
LARGEST_CHUNK = 1 << 28
"""Pixels of one tile or strip that are decoded at once."""
DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError, EOFError)
"""What tifffile and its codecs say of some damage."""


class TiffReader:
    """`SlideReader` over the largest image of a TIFF file and its pyramid; other images (labels) are never decoded."""

    def __init__(self, path: Path) -> None:
        """Raises DataError if the file is damaged or its largest image is not RGB of 8 bits."""
        try:
            self._tiff = tifffile.TiffFile(path)
        except (*DAMAGE, tifffile.TiffFileError):
            raise DataError("is damaged: its TIFF header cannot be read") from None
        try:
            number, series = max(enumerate(self._tiff.series), key=lambda one: one[1].size)
            self._pages = [level.keyframe for level in series.levels]
            self.vendor = "ome-tiff" if self._tiff.is_ome else "tiff"
            self.level_dimensions = tuple((page.imagewidth, page.imagelength) for page in self._pages)
            largest = self.level_dimensions[0][0]
            self.level_downsamples = tuple(largest / width for width, _ in self.level_dimensions)
            self.mpp = _ome_mpp(self._tiff.ome_metadata, number) if self._tiff.is_ome else None
            axes, chunk = series.axes, self._pages[0].chunks[0] * self._pages[0].chunks[1]
            pixels = [(page.dtype, page.samplesperpixel, page.planarconfig) for page in self._pages]
        except (*DAMAGE, tifffile.TiffFileError):
            self._tiff.close()
            raise DataError("is damaged: its TIFF directories cannot be read") from None
        if axes != "YXS" or any(one not in ((np.uint8, 3, 1), (np.uint8, 4, 1)) for one in pixels):
            self._tiff.close()
            raise DataError(f"is a TIFF with axes {axes}; allowed: YXS, interleaved RGB of 8 bits a channel")
        if chunk > LARGEST_CHUNK:
            self._tiff.close()
            raise DataError(f"has tiles or strips of {chunk} pixels; allowed: {LARGEST_CHUNK}")

    @staticmethod
    def understands(path: Path) -> bool:
        """Whether this is an OME-TIFF or a BigTIFF."""
        with path.open("rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return False
        try:
            with tifffile.TiffFile(path) as tiff:
                return bool(tiff.is_ome or tiff.is_bigtiff)
        except (*DAMAGE, tifffile.TiffFileError):
            return False

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `SlideReader.read`. What lies in a tile without bytes was not scanned."""
        page = self._pages[level]
        down, across = page.chunks[:2]
        region = np.zeros((height, width, 4), np.uint8)
        rows = range(y // down, ceil((y + height) / down))
        columns = range(x // across, ceil((x + width) / across))
        for row, column in product(rows, columns):
            chunk = self._chunk(page, row * ceil(page.imagewidth / across) + column, level)
            if chunk is None:
                continue
            top, left = row * down, column * across
            first_y, first_x = max(top, y), max(left, x)
            part = chunk[first_y - top : y + height - top, first_x - left : x + width - left]
            target = region[first_y - y : first_y - y + part.shape[0], first_x - x : first_x - x + part.shape[1]]
            target[..., :3], target[..., 3] = part[..., :3], 255
        return region

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tiff.close()

    def _chunk(self, page: Any, index: int, level: int) -> np.ndarray | None:
        """One decoded tile or strip: uint8 (height, width, samples)."""
        try:
            offset, length = page.dataoffsets[index], page.databytecounts[index]
            if not length:
                return None
            self._tiff.filehandle.seek(offset)
            decoded = page.decode(self._tiff.filehandle.read(length), index, jpegtables=page.jpegtables)[0]
        except (*DAMAGE, tifffile.TiffFileError):
            raise DataError(f"is damaged: pixels of level {level} cannot be decoded") from None
        return None if decoded is None else np.asarray(decoded)[0]


def _ome_mpp(xml: str | None, number: int) -> tuple[float, float] | None:
    """µm per pixel of image `number` of OME-XML."""
    try:
        images = [one for one in ElementTree.fromstring(xml or "") if one.tag.endswith("}Image")]  # noqa: S314 - expat limits entities
        pixels = next(child for child in images[number] if child.tag.endswith("}Pixels"))
        x, y = (
            float(pixels.attrib[f"PhysicalSize{axis}"])
            * MICROMETRES[pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "XY"
        )
    except (ElementTree.ParseError, StopIteration, IndexError, KeyError, ValueError):
        return None
    return x, y

"""The JPEG tiles of a TIFF pyramid, decoded one by one.

OpenSlide decodes a tile as fast, but then composes each region with cairo, which takes three times as long.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from oncotrain.slides.tiff_reader import DAMAGE

CACHED = 32 << 20
"""Bytes of decoded tiles that are kept for neighbouring regions, as many as OpenSlide keeps."""
_COLOURS = {tifffile.PHOTOMETRIC.YCBCR: "ycbcr", tifffile.PHOTOMETRIC.RGB: "rgb"}
"""What a tile's JPEG holds, by what the TIFF directory says of it; the JPEG itself may say nothing."""


class JpegTiles:
    """The levels of a slide that are grids of JPEG tiles: pixels are those that OpenSlide gives, bit by bit."""

    def __init__(self, path: Path, sizes: Sequence[tuple[int, int] | None]) -> None:
        """`sizes` are (width, height) of each level, None for one that is not to be looked for."""
        self._file = path.open("rb")
        self._pages = _pages(path, sizes)
        largest = max((page.tilewidth * page.tilelength for page in self._pages.values()), default=1)
        self._tile = lru_cache(maxsize=max(1, CACHED // (3 * largest)))(self._decode)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray | None:
        """Uint8 (height, width, 3) of a rectangle inside `level`; None where a tile is missing, damaged or no JPEG."""
        page = self._pages.get(level)
        if page is None:
            return None
        down, across = page.tilelength, page.tilewidth
        region = np.empty((height, width, 3), np.uint8)
        rows = range(y // down, ceil((y + height) / down))
        columns = range(x // across, ceil((x + width) / across))
        for row, column in product(rows, columns):
            tile = self._tile(level, row * ceil(page.imagewidth / across) + column)
            if tile is None:
                return None
            top, left = row * down - y, column * across - x
            part = tile[max(-top, 0) : height - top, max(-left, 0) : width - left]
            first_row, first_column = max(top, 0), max(left, 0)
            region[first_row : first_row + part.shape[0], first_column : first_column + part.shape[1]] = part
        return region

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _decode(self, level: int, index: int) -> np.ndarray | None:
        page = self._pages[level]
        try:
            offset, length = page.dataoffsets[index], page.databytecounts[index]
            self._file.seek(offset)
            # A JPEG that claims another size than its directory does not fit, before anything is decoded.
            tile: np.ndarray = imagecodecs.jpeg8_decode(
                self._file.read(length),
                tables=page.jpegtables,
                colorspace=_COLOURS[page.photometric],
                outcolorspace="rgb",
                out=np.empty((page.tilelength, page.tilewidth, 3), np.uint8),
            )
        except DAMAGE:
            return None
        return tile


def _pages(path: Path, sizes: Sequence[tuple[int, int] | None]) -> dict[int, Any]:
    """The directory of each level that is the only grid of JPEG tiles of its size; none where the file is damaged."""
    try:
        with tifffile.TiffFile(path) as tiff:
            pages: list[Any] = [page for page in tiff.pages if _is_tiled_jpeg(page)]
            fitting = {size: [page for page in pages if (page.imagewidth, page.imagelength) == size] for size in sizes}
            return {level: fitting[size][0] for level, size in enumerate(sizes) if len(fitting[size]) == 1}
    except (*DAMAGE, tifffile.TiffFileError):
        return {}


def _is_tiled_jpeg(page: Any) -> bool:
    return bool(
        page.is_tiled
        and page.compression == tifffile.COMPRESSION.JPEG
        and page.photometric in _COLOURS
        and (page.samplesperpixel, page.bitspersample, page.planarconfig) == (3, 8, tifffile.PLANARCONFIG.CONTIG)
    )

"""A slide as large as a scanner's, made in seconds: one piece of tissue again and again, as a pyramid of JPEG tiles."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile

from oncotrain.demo.slides import MPP, draw_slide

TILE, PIECE = 256, 4096
LEVELS = (1, 4, 16)


def write_large_slide(path: Path, side: int, piece: int = PIECE, seed: int = 0) -> Path:
    """Write `side` x `side` pixels at 0.25 µm as Aperio would, unless `path` is there; `piece` / 4096 is whole."""
    if path.exists():
        return path
    pixels = draw_slide(np.random.default_rng(seed), "uz-leuven", piece)[0]
    partial = path.with_suffix(".partial")
    with tifffile.TiffWriter(partial, bigtiff=side > 60_000) as tiff:
        for downsample in LEVELS:
            size = side // downsample
            small = cv2.resize(pixels, (piece // downsample,) * 2, interpolation=cv2.INTER_AREA)
            header = f"Aperio Image Library v12.0.15\n{side}x{side} [0,0 {side}x{side}] ({TILE}x{TILE})"
            reduced = "" if downsample == 1 else f" -> {size}x{size}"
            options: dict[str, Any] = {
                "shape": (size, size, 3),
                "dtype": np.uint8,
                "tile": (TILE, TILE),
                "compression": "jpeg",
                "photometric": "ycbcr",
                "subsampling": (2, 2),
                "metadata": None,
                "description": f"{header}{reduced} JPEG/RGB Q=90|AppMag = 40|MPP = {MPP}",
            }
            tiff.write(_tiles(small, size), **options)
            if downsample == 1:
                thumbnail = cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_AREA)
                tiff.write(thumbnail, compression="jpeg", metadata=None, description=f"{header} -> 512x512 -")
    partial.rename(path)
    return path


def _tiles(piece: np.ndarray, size: int) -> Iterator[bytes]:
    """JPEG tiles, row by row, of `piece` repeated over `size` x `size` pixels; its side is a multiple of a tile's."""
    across, count = len(piece) // TILE, ceil(size / TILE)
    encoded = {
        (row, column): imagecodecs.jpeg8_encode(
            np.ascontiguousarray(piece[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]),
            level=90,
            colorspace="rgb",
            outcolorspace="ycbcr",
            subsampling="420",
        )
        for row in range(across)
        for column in range(across)
    }
    for row in range(count):
        for column in range(count):
            yield encoded[row % across, column % across]

"""Whole images: put together from tiles, and predicted in overlapping pieces."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from oncotrain.tasks.task import Row

BACKGROUND = {"pixels": 255, "instances": 0, "classes": 0, "valid": 0, "labelled": 0}
"""Rasters of a tile and what stands where no tile was stored."""


def assemble(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Rasters (height, width, ...) from the upper-left corner of the first tiles to the last valid row and column.

    Tiles may overlap where they agree; only their valid pixels are taken.
    """
    left, top = (min(int(row[axis]) for row in rows) for axis in "xy")
    side = rows[0]["valid"].shape[0]
    height, width = (max(int(row[axis]) for row in rows) - start + side for axis, start in (("y", top), ("x", left)))
    image = {
        name: np.full((height, width, *rows[0][name].shape[2:]), value, rows[0][name].dtype)
        for name, value in BACKGROUND.items()
    }
    for row in rows:
        y, x = int(row["y"]) - top, int(row["x"]) - left
        inside = row["valid"] > 0
        for name, canvas in image.items():
            canvas[y : y + side, x : x + side][inside] = row[name][inside]
    rows_used, columns_used = (np.flatnonzero(image["valid"].any(axis)) for axis in (1, 0))
    if not len(rows_used):
        return image
    return {name: canvas[: rows_used[-1] + 1, : columns_used[-1] + 1] for name, canvas in image.items()}


def predict_in_windows(
    predict: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, window: int, halo: int
) -> np.ndarray:
    """Maps (channels, height, width) from pixels (height, width, 3), at most `window` x `window` at once.

    Pieces overlap by twice the `halo`; each is used up to the middle of the overlap.
    """
    height, width = pixels.shape[:2]
    bands = []
    for rows, kept_rows in _spans(height, window, halo):
        pieces = [
            predict(pixels[rows, columns])[:, kept_rows, kept_columns]
            for columns, kept_columns in _spans(width, window, halo)
        ]
        bands.append(np.concatenate(pieces, axis=2))
    return np.concatenate(bands, axis=1)


def _spans(length: int, window: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """(what is read, which part of that is kept) along one axis; what is kept covers 0..length once, in order."""
    step = window - 2 * halo
    last = max(0, math.ceil((length - window) / step))
    for number in range(last + 1):
        start, stop = number * step, min(number * step + window, length)
        yield slice(start, stop), slice(halo if number else 0, stop - start - (halo if number < last else 0))

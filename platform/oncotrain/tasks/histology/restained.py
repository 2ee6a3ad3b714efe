"""Stain normalization when a tile is read: stored pixels stay as they were scanned."""

import numpy as np

from oncotrain.slides.stain import Stains, restain
from oncotrain.tasks.task import Row


def restained(row: Row) -> Row:
    """The tile in the reference stain, by the stains that its column `stain` states; as it is where these are NaN."""
    if np.isnan(row["stain"]).any():
        return row
    pixels = restain(row["pixels"], Stains.of(row["stain"]))
    pixels[row["valid"] == 0] = 255
    return {**row, "pixels": pixels}

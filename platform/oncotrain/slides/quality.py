"""Figures by which a tile can be left out of training, or looked at first."""

import numpy as np

from oncotrain.slides.extremes import extremes

BLANK = 12
"""Grey values between the 1st and the 99th percentile of a tile under which nothing is on it."""
SIDE = 64
"""A tile is looked at on a grid of about so many pixels a side."""
EVERY = 4
"""Focus is looked for in each row of so many."""


def focus(pixels: np.ndarray) -> float:
    """Variance of the Laplacian of the green channel, in squared grey values: low where the picture is blurred.

    Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000. It depends on what the tile shows:
    compare tiles of one slide.
    """
    grey = pixels[..., 1].astype(np.int16)
    rows = grey[1:-1:EVERY]
    laplacian = grey[:-2:EVERY, 1:-1] + grey[2::EVERY, 1:-1] + rows[:, :-2] + rows[:, 2:] - 4 * rows[:, 1:-1]
    return float(laplacian.var(dtype=np.float32)) if laplacian.size else 0.0


def is_blank(pixels: np.ndarray) -> bool:
    """Whether uint8 (height, width, 3) `pixels` are all of one tone."""
    step = max(1, min(pixels.shape[:2]) // SIDE)
    low, high = extremes(pixels[::step, ::step, 1], 1)
    return high - low < BLANK

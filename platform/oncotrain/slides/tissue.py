"""Tissue against glass, ink and folds on a thumbnail: optical density, Otsu's threshold, morphology."""

from math import ceil, floor
from typing import NamedTuple

import numpy as np
from skimage.filters import threshold_otsu
from skimage.morphology import closing, dilation, disk, opening, remove_small_holes, remove_small_objects

from oncotrain.slides.grid import Tile

SPACING = 8.0
"""µm per pixel of the thumbnail that tissue is found on."""
SMALLEST = 24
"""Pixels; smaller specks are dust, smaller holes are tissue. Less on pictures of a few cells."""
GLASS = (0.03, 0.07)
"""Optical density that separates glass from tissue lies in this range on any slide. Otsu's method presumes that both
are there; beside dark tissue it would take pale stroma for glass, so its threshold is held inside the range."""
DENSITY = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)
"""Optical density of a grey value."""
FOLD = (2.0, 0.45)
"""A fold is two layers or more: this many times the median density of the slide's tissue, and at least this dense."""


class Areas(NamedTuple):
    """Bool (height, width) each, of a thumbnail at `SPACING`; `fold` lies in `tissue`, `pen` does not."""

    tissue: np.ndarray
    pen: np.ndarray
    fold: np.ndarray


def find_areas(thumbnail: np.ndarray) -> Areas:
    """What is where on a uint8 RGB thumbnail. Otsu, IEEE Trans. SMC 9 (1979).

    Pen is told by its colour. Haematoxylin and eosin both absorb green the most (Ruifrok and Johnston, Anal. Quant.
    Cytol. Histol. 23, 2001): what is dense and does not is ink. It hides what lies under it and is no tissue.
    """
    red, green, blue = (DENSITY[thumbnail[..., channel]] for channel in range(3))
    density = (red + green + blue) / 3
    threshold = threshold_otsu(density) if np.ptp(density) > 0 else GLASS[1]
    found = closing(density > np.clip(threshold, *GLASS), disk(1))
    smallest = min(SMALLEST, found.size // 8)
    found = remove_small_holes(remove_small_objects(found, max_size=smallest), max_size=smallest)
    pen = dilation(remove_small_objects(_is_ink(red, green, blue), max_size=smallest), disk(2))
    tissue = found & ~pen
    layers = density[tissue]
    dense = density > max(FOLD[0] * float(np.median(layers)), FOLD[1]) if layers.size else np.zeros_like(tissue)
    fold = remove_small_objects(opening(dense & tissue, disk(1)), max_size=smallest)
    return Areas(tissue, pen, fold)


def _is_ink(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Green, blue, black and red ink by optical density, averaged over 8 µm: nuclei are not that dense there."""
    is_green = (red > 0.2) & (red > 1.5 * green)
    is_blue = (red > 0.65) & (red > 1.05 * green) & (green > 1.5 * blue)
    is_black = np.minimum(np.minimum(red, green), blue) > 0.8
    is_red = (red < 0.25) & (green > 0.8) & (blue > 0.6)
    return is_green | is_blue | is_black | is_red


def share(mask: np.ndarray, tile: Tile, spacing: float) -> float:
    """Share of a tile's area inside the slide that is True in `mask` (at `SPACING`); `spacing` is the tile's."""
    scale = spacing / SPACING
    rows = slice(floor(tile.y * scale), ceil((tile.y + tile.height) * scale))
    columns = slice(floor(tile.x * scale), ceil((tile.x + tile.width) * scale))
    window = mask[rows, columns]
    return float(window.mean()) if window.size else 0.0

"""Tissue against glass on a thumbnail: Otsu's threshold on optical density, then morphology."""

from math import ceil, floor

import numpy as np
from skimage.filters import threshold_otsu
from skimage.morphology import closing, disk, remove_small_holes, remove_small_objects

from oncotrain.slides.grid import Tile

SPACING = 8.0
"""µm per pixel of the thumbnail that tissue is found on."""
SMALLEST = 24
"""Pixels; smaller specks are dust, smaller holes are tissue. Less on pictures of a few cells."""
GLASS = (0.03, 0.07)
"""Optical density that separates glass from tissue lies in this range on any slide. Otsu's method presumes that both
are there; beside dark tissue it would take pale stroma for glass, so its threshold is held inside the range."""


def tissue_mask(thumbnail: np.ndarray) -> np.ndarray:
    """Bool (height, width) of a uint8 RGB thumbnail: True where there is tissue. Otsu, IEEE Trans. SMC 9 (1979)."""
    density = -np.log10((thumbnail.astype(np.float32) + 1) / 256).mean(axis=2)
    threshold = threshold_otsu(density) if np.ptp(density) > 0 else GLASS[1]
    mask = closing(density > np.clip(threshold, *GLASS), disk(1))
    smallest = min(SMALLEST, mask.size // 8)
    return remove_small_holes(remove_small_objects(mask, max_size=smallest), max_size=smallest)


def tissue_fraction(mask: np.ndarray, tile: Tile, spacing: float) -> float:
    """Share of a tile's area inside the slide that `mask` (at `SPACING`) calls tissue; `spacing` is the tile's."""
    scale = spacing / SPACING
    rows = slice(floor(tile.y * scale), ceil((tile.y + tile.height) * scale))
    columns = slice(floor(tile.x * scale), ceil((tile.x + tile.width) * scale))
    window = mask[rows, columns]
    return float(window.mean()) if window.size else 0.0

"""From the network's maps to single nuclei: a marker-controlled watershed."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import relabel_sequential, watershed

from oncotrain.tasks.histology.config import DecisionGrid

SMOOTHING = 1.2
"""Standard deviation, in pixels, of the Gaussian that removes spurious maxima of the energy."""


def candidates(grid: DecisionGrid) -> list[dict[str, Any]]:
    """All combinations of the grid's values."""
    return [
        {"foreground": foreground, "marker": marker, "smallest": smallest}
        for foreground, marker, smallest in product(grid.foreground, grid.marker, grid.smallest)
    ]


def separate(
    foreground: np.ndarray, boundary: np.ndarray, distance: np.ndarray, decision: Mapping[str, Any], mean_area: float
) -> np.ndarray:
    """Instance ids int32 (height, width), 1, 2, ..., 0 background, from float32 maps in 0..1 of the same shape.

    The energy is the distance less half the boundary, smoothed. Its cores above `decision['marker']` grow downhill
    over the pixels with foreground above `decision['foreground']`; a piece of foreground without any core is one
    nucleus. Objects under `decision['smallest']` times `mean_area` (pixels) are dropped.
    """
    mask = foreground > decision["foreground"]
    energy = cv2.GaussianBlur(distance - 0.5 * boundary, (0, 0), SMOOTHING)
    cores = mask & (energy > decision["marker"])
    pieces, number = ndimage.label(mask)
    coreless = np.ones(number + 1, bool)
    coreless[pieces[cores]] = False
    markers, _ = ndimage.label(cores | (mask & coreless[pieces]))
    instances = watershed(-energy, markers, mask=mask)
    areas = np.bincount(instances.ravel())
    instances[areas[instances] < decision["smallest"] * mean_area] = 0
    return relabel_sequential(instances)[0].astype(np.int32)


def majority_classes(instances: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Class 1..K of each instance 1..n, uint8 (n,): the one with the largest sum of `scores` (K, height, width).

    Empty where K is 0.
    """
    if not len(scores):
        return np.zeros(0, np.uint8)
    number = int(instances.max())
    sums = [np.bincount(instances.ravel(), plane.ravel(), number + 1)[1:] for plane in scores]
    return (np.argmax(sums, axis=0) + 1).astype(np.uint8)

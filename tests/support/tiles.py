"""Made-up tiles with known nuclei, as rows and features of a dataset, without a lake."""

from typing import Any

import cv2
import numpy as np

CLASSES = ["epithelial", "lymphocyte"]


def tile_features(side: int) -> dict[str, Any]:
    """A manifest's features."""
    return {"kind": "tiles", "spacing": 0.25, "tile": side, "classes": CLASSES}


def tile_row(
    seed: int, side: int = 64, nuclei: int = 8, labelled: int = 3, valid: tuple[int, int] | None = None
) -> Any:
    """One tile of up to `nuclei` dark ellipses on a light ground, which may touch; colour tells the class.

    `valid` is the height and width inside the slide, the whole tile by default.
    """
    rng = np.random.default_rng(seed)
    height, width = valid or (side, side)
    instances = np.zeros((side, side), np.int32)
    for number in range(1, nuclei + 1):
        centre = rng.integers(0, (width, height)).tolist()
        axes = rng.integers(side // 16, side // 8, 2).tolist()
        mask = np.zeros((side, side), np.uint8)
        cv2.ellipse(mask, (centre, tuple(2.0 * axis for axis in axes), float(rng.uniform(0, 180))), 1, -1)
        if not instances[mask > 0].any():
            instances[mask > 0] = number
    inside = np.zeros((side, side), np.uint8)
    inside[:height, :width] = 1
    instances *= inside
    classes = (instances > 0) * (1 + instances % 2).astype(np.uint8)
    pixels = np.array([[230, 220, 235], [150, 60, 160], [60, 40, 120]], np.uint8)[classes]
    pixels = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    pixels[inside == 0] = 255
    return {
        "slide": f"slide{seed}",
        "patient": f"patient{seed}",
        "region": 0,
        "x": 0,
        "y": 0,
        "spacing": 0.25,
        "pixels": pixels,
        "instances": instances,
        "classes": classes.astype(np.uint8),
        "valid": inside,
        "labelled": labelled * inside,
    }

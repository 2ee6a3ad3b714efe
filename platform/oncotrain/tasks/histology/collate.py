"""Batches: crops of tiles, normalized, with what is to be learned from them."""

from collections.abc import Sequence

import numpy as np
import torch

from oncotrain.slides.labels import CLASSES, INSTANCES
from oncotrain.tasks.histology.augment import Crop, random_crop, whole
from oncotrain.tasks.histology.config import HistologyConfig
from oncotrain.tasks.histology.targets import target_maps
from oncotrain.tasks.task import Plan, Row


def normalize(pixels: np.ndarray, plan: Plan) -> np.ndarray:
    """Float32 (3, height, width) from pixels (height, width, 3) in 0..1."""
    scaled = (pixels - np.float32(plan["mean"])) / np.float32(plan["std"])
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def make_batch(
    rows: Sequence[Row], plan: Plan, rngs: Sequence[np.random.Generator] | None, config: HistologyConfig
) -> dict[str, torch.Tensor]:
    """`pixels` (n, 3, h, w), `maps` (n, 3, h, w), `known` (n, h, w), all float32, and `classes` (n, h, w) int64.

    With `rngs`, n is `crops_per_tile` times the rows, h = w = `crop`; without, the rows' whole tiles.
    """
    if rngs is None:
        crops = [whole(row) for row in rows]
    else:
        crops = [
            random_crop(row, config.crop, config.augmentation, rng)
            for row, rng in zip(rows, rngs, strict=True)
            for _ in range(config.crops_per_tile)
        ]
    return {
        "pixels": torch.from_numpy(np.stack([normalize(crop.pixels, plan) for crop in crops])),
        "maps": torch.from_numpy(np.stack([target_maps(crop.instances) for crop in crops])),
        "known": torch.from_numpy(np.stack([_has(crop, INSTANCES) for crop in crops]).astype(np.float32)),
        "classes": torch.from_numpy(
            np.stack([np.where(_has(crop, CLASSES), crop.classes, 0) for crop in crops]).astype(np.int64)
        ),
    }


def _has(crop: Crop, bit: int) -> np.ndarray:
    return (crop.labelled & bit > 0) & (crop.valid > 0)

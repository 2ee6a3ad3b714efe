"""Random crops of a tile. Pure: the same row and the same generator state give the same crop."""

from typing import NamedTuple

import cv2
import numpy as np

from oncotrain.tasks.histology.config import Augmentation
from oncotrain.tasks.task import Row

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
"""Optical density in red, green, blue of haematoxylin, eosin and DAB, rows of unit length to two decimals (Ruifrok and
Johnston, Anal. Quant. Cytol. Histol. 23, 2001)."""

_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


class Crop(NamedTuple):
    """A piece of a tile: pixels float32 (h, w, 3) in 0..1, the rest (h, w) as in the row, 0 outside the tile."""

    pixels: np.ndarray
    instances: np.ndarray
    classes: np.ndarray
    valid: np.ndarray
    labelled: np.ndarray


def whole(row: Row) -> Crop:
    """The tile as it is."""
    labels = (row[name] for name in Crop._fields[1:])
    return Crop(row["pixels"].astype(np.float32) / 255, *labels)


def random_crop(row: Row, side: int, strength: Augmentation, rng: np.random.Generator) -> Crop:
    """A square of `side` pixels, turned, mirrored, zoomed and recoloured at random."""
    placed = _place(row, side, strength, rng)
    return placed._replace(pixels=_recolour(placed.pixels, strength, rng))


def _place(row: Row, side: int, strength: Augmentation, rng: np.random.Generator) -> Crop:
    """One affine map for pixels and labels, centred so that the crop lies in the valid area where it fits."""
    zoom = np.exp(rng.uniform(-strength.scale, strength.scale))
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    to_tile = np.array([[cosine, -sine], [sine, cosine]])
    if rng.random() < 0.5:
        to_tile[:, 0] *= -1
    reach = np.abs(to_tile).sum(1) * side / 2
    extent = np.array([row["valid"].any(axis).sum() for axis in (0, 1)])
    reach = np.minimum(reach, extent / 2)
    centre = rng.uniform(reach, extent - reach)
    offset = centre - 0.5 - to_tile @ np.full(2, (side - 1) / 2)
    matrix = np.column_stack([to_tile, offset])

    def warp(raster: np.ndarray, interpolation: int) -> np.ndarray:
        return cv2.warpAffine(raster, matrix, (side, side), flags=interpolation | cv2.WARP_INVERSE_MAP)

    labels = np.dstack([row["classes"], row["valid"], row["labelled"]])
    classes, valid, labelled = np.moveaxis(warp(labels, cv2.INTER_NEAREST), -1, 0)
    return Crop(
        warp(row["pixels"], cv2.INTER_LINEAR),
        warp(row["instances"].astype(np.float32), cv2.INTER_NEAREST).astype(np.int32),
        classes,
        valid,
        labelled,
    )


def _recolour(pixels: np.ndarray, strength: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Stain jitter in optical density (Tellez et al., Medical Image Analysis 58, 2019), grey, blur and noise."""
    factors = 1 + rng.uniform(-strength.stain, strength.stain, 3)
    added = rng.uniform(-strength.offset, strength.offset, 3) @ STAINS
    mixing = np.linalg.inv(STAINS) @ np.diag(factors) @ STAINS
    if rng.random() < strength.grey:
        mixing = mixing @ np.full((3, 3), 1 / 3)
    density = cv2.transform(_DENSITY[pixels], np.column_stack([mixing.T, added]).astype(np.float32))
    if rng.random() < strength.blur:
        density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.3, 1.2))
    light = cv2.exp(-density)
    if rng.random() < 0.5:
        light = light + np.float32(rng.uniform(0, strength.noise)) * rng.standard_normal(light.shape, np.float32)
    return np.clip(light, 0, 1)

"""Stain vectors of a tile, and pixels put into another stain: Macenko et al., ISBI 2009."""

from typing import NamedTuple

import numpy as np

from oncotrain.slides.extremes import extremes

SIDE = 64
"""A tile is looked at on a grid of about so many pixels a side: its stains are those of the whole."""
LIGHT = 240.0
"""Grey value of glass."""
PALE = 0.15
"""Natural optical density under which a pixel is glass."""
EXTREME = 1.0
"""Percentile of the angles, on either side, that are taken for the pure stains."""
FEWEST = 300
"""Stained pixels on the grid that a tile needs."""
NARROWEST = 0.17
"""Radians between the two vectors: closer ones are one stain and noise."""
MIXED = 8
"""Numbers that describe a tile's stains."""


_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / LIGHT)
"""Natural optical density of a grey value."""


class Stains(NamedTuple):
    """How a piece of tissue is stained.

    `vectors` (2, 3): natural optical density in red, green, blue of haematoxylin and of eosin, of unit length;
    `strength` (2,): 99th percentile of the concentration of each.
    """

    vectors: np.ndarray
    strength: np.ndarray

    def flat(self) -> np.ndarray:
        """Float32 (8,): haematoxylin's vector, eosin's, the two strengths."""
        return np.concatenate([self.vectors.ravel(), self.strength]).astype(np.float32)

    @staticmethod
    def of(flat: np.ndarray) -> "Stains":
        """The other way round."""
        return Stains(flat[:6].reshape(2, 3), flat[6:])


REFERENCE = Stains(np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]]), np.array([1.9705, 1.0308]))
"""What pixels are put into: the vectors and strengths that Macenko's authors published with their code."""
UNSTAINED = np.full(MIXED, np.nan, np.float32)
"""In place of `Stains.flat` for a tile whose stains cannot be told."""


def find_stains(pixels: np.ndarray) -> Stains | None:
    """Stains of uint8 (height, width, 3) `pixels`; None of glass, of one stain alone, or of what is no stain."""
    step = max(1, min(pixels.shape[:2]) // SIDE)
    density = _DENSITY.take(pixels[::step, ::step].reshape(-1, 3))
    red, green, blue = density.T
    stained = density[(red > PALE) & (green > PALE) & (blue > PALE)]
    if len(stained) < FEWEST:
        return None
    _, axes = np.linalg.eigh(np.cov(stained.T))
    plane = axes[:, :0:-1].T  # the two widest directions, which have no sign of their own
    plane *= np.where(plane.sum(axis=1, keepdims=True) < 0, -1, 1)
    angles = np.arctan2(stained @ plane[1], stained @ plane[0])
    low, high = extremes(angles, EXTREME)
    vectors = np.array([[np.cos(low), np.sin(low)], [np.cos(high), np.sin(high)]]) @ plane
    if high - low < NARROWEST or (vectors < -0.05).any():
        return None
    vectors = vectors[np.argsort(-vectors[:, 0])]  # haematoxylin absorbs more red
    concentrations = stained @ np.linalg.pinv(vectors)
    strength = np.array([extremes(concentration, EXTREME)[1] for concentration in concentrations.T])
    return Stains(vectors, strength) if (strength > 0).all() else None


def restain(pixels: np.ndarray, source: Stains, target: Stains = REFERENCE) -> np.ndarray:
    """Uint8 (height, width, 3) `pixels` of `source` as if they were stained like `target`.

    What is neither stain is dropped, as in the paper.
    """
    mixing = np.linalg.pinv(source.vectors) @ np.diag(target.strength / source.strength) @ target.vectors
    density = _DENSITY[pixels].reshape(-1, 3) @ mixing.astype(np.float32)
    return (LIGHT * np.exp(-density)).clip(0, 255).round().astype(np.uint8).reshape(pixels.shape)

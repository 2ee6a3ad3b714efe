import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.slides.stain import Stains, find_stains

HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])


def stained(vectors: np.ndarray, seed: int = 0, side: int = 256) -> np.ndarray:
    """Pixels of two stains in random amounts, some of each alone."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.1, 1.8, (side, side, 2)) * rng.choice([[1, 0], [0, 1], [1, 1]], (side, side))
    return (240 * np.exp(-(amounts @ vectors))).clip(0, 255).round().astype(np.uint8)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(deadline=None, max_examples=25)
@given(shift=st.lists(st.floats(-0.05, 0.05), min_size=6, max_size=6), seed=st.integers(0, 9))
def test_the_stains_that_a_picture_was_made_with_are_found(shift: list[float], seed: int) -> None:
    truth = unit((np.stack([HAEMATOXYLIN, EOSIN]) + np.reshape(shift, (2, 3))).clip(0.05))
    found = find_stains(stained(truth, seed))
    assert found is not None
    assert np.degrees(np.arccos((found.vectors * truth).sum(axis=1).clip(-1, 1))).max() < 8
    assert found.strength == pytest.approx([1.8, 1.8], rel=0.2)
    again = Stains.of(found.flat())
    np.testing.assert_allclose(again.vectors, found.vectors, rtol=1e-6)
    np.testing.assert_allclose(again.strength, found.strength, rtol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((256, 256, 3), 240, np.uint8),
        np.full((256, 256, 3), (200, 120, 180), np.uint8),
        np.zeros((256, 256, 3), np.uint8),
        (240 * np.exp(-np.random.default_rng(0).uniform(0.2, 2, (256, 256, 1)) * EOSIN)).astype(np.uint8),
        np.full((20, 9, 3), 90, np.uint8),
    ],
    ids=["glass", "one tone", "black", "one stain", "tiny"],
)
def test_what_has_no_two_stains_has_none(pixels: np.ndarray) -> None:
    assert find_stains(pixels) is None

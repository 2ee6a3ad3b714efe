"""The ends of many values, against sorting them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.slides.extremes import extremes

VALUES = hnp.arrays(np.int16, hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=40))


@given(VALUES, st.floats(0, 50, exclude_max=True))
def test_no_more_than_the_percentage_lie_beyond_either_end(values: np.ndarray, percent: float) -> None:
    low, high = extremes(values, percent)
    cut = int(values.size * percent / 100)
    assert low == np.sort(values, axis=None)[cut]
    assert (values < low).mean() <= percent / 100
    assert (values > high).mean() <= percent / 100


@given(VALUES, st.floats(0, 50, exclude_max=True))
def test_both_ends_are_told_alike(values: np.ndarray, percent: float) -> None:
    low, high = extremes(values, percent)
    mirrored = -values.astype(np.int32)
    assert extremes(mirrored, percent) == (-high, -low)


def test_of_many_values_they_are_numpys_percentiles() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    np.testing.assert_allclose(extremes(values, 1), np.percentile(values, [1, 99]), atol=0.01)

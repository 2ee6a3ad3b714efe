"""How long an update may be, beside the others of its round."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.federation.soundness import oversized

COMMON = [np.zeros(3, np.float32), np.zeros((2, 2), np.float32)]


def update(length: float) -> list[np.ndarray]:
    """A change of that L2 length, spread over both arrays."""
    return [np.full(3, length / 7**0.5), np.full((2, 2), length / 7**0.5)]


@given(st.lists(st.floats(0.5, 1.0), min_size=2, max_size=9), st.floats(2.1, 1e6), st.floats(1e-6, 1e6))
def test_one_that_is_far_longer_is_named_and_no_other(lengths, times, scale):
    honest = {f"s{number}": update(length * scale) for number, length in enumerate(lengths)}
    wrong = {"wrong": update(times * scale)}
    assert oversized(honest, COMMON, 2.0) == []
    assert oversized(honest | wrong, COMMON, 2.0) == ["wrong"]


def test_of_two_nobody_knows_which_is_wrong():
    assert oversized({"a": update(1), "b": update(100)}, COMMON, 2.0) == []


def test_what_a_strategy_sends_beside_the_parameters_does_not_count():
    sites = {site: update(1) for site in "abc"}
    sites["a"] = [*sites["a"], np.full(3, 1e9), np.full((2, 2), 1e9)]
    assert oversized(sites, COMMON, 2.0) == []

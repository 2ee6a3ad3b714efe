"""How long an update may be, beside the others of its round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.federation.strategies.soundness import length, oversized


@given(st.lists(st.floats(0.5, 1.0), min_size=2, max_size=9), st.floats(2.1, 1e6), st.floats(1e-6, 1e6))
def test_one_that_is_far_longer_is_named_and_no_other(lengths, times, scale):
    honest = {f"s{number}": found * scale for number, found in enumerate(lengths)}
    assert oversized(honest, 2.0) == []
    assert oversized(honest | {"wrong": times * scale}, 2.0) == ["wrong"]


def test_of_two_nobody_knows_which_is_wrong():
    assert oversized({"a": 1.0, "b": 100.0}, 2.0) == []


def test_what_a_strategy_sends_beside_the_parameters_does_not_count():
    common = [np.ones(3, np.float32), np.ones((2, 2), np.float32)]
    sent = [np.array([1, 4, 1], np.float32), np.array([[1, 1], [5, 1]], np.float32), np.full(3, 1e9)]
    assert length(sent, common) == pytest.approx(5)

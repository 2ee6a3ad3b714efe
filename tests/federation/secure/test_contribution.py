"""What a site adds to the sum, and what comes out of it."""

import math

import numpy as np
import pytest

from oncotrain.errors import DataError
from oncotrain.federation.secure.contribution import average, contribution, contribution_length
from oncotrain.federation.secure.session import fingerprint

BEFORE = [np.ones((2, 3), np.float32), np.zeros(2, np.float64)]


def shifted(by: float) -> list[np.ndarray]:
    return [array + np.asarray(by, array.dtype) for array in BEFORE]


def test_parameters_keep_shape_and_dtype_and_are_weighted():
    total = contribution(BEFORE, shifted(1.0), 4.0, 3.0) + contribution(BEFORE, shifted(-1.0), 8.0, 1.0)
    assert total.shape == (contribution_length(BEFORE),)
    parameters, loss = average(total, BEFORE)
    assert [(array.shape, array.dtype) for array in parameters] == [(array.shape, array.dtype) for array in BEFORE]
    assert all(np.allclose(found, expected) for found, expected in zip(parameters, shifted(0.5), strict=True))
    assert loss == pytest.approx(5.0)


def test_a_site_without_a_loss_still_counts_for_the_parameters():
    total = contribution(BEFORE, shifted(1.0), math.nan, 1.0) + contribution(BEFORE, BEFORE, 8.0, 1.0)
    parameters, loss = average(total, BEFORE)
    assert np.allclose(parameters[1], 0.5)
    assert loss == pytest.approx(8.0)
    assert math.isnan(average(contribution(BEFORE, BEFORE, math.nan, 1.0), BEFORE)[1])


def test_a_sum_of_another_model_is_refused():
    with pytest.raises(DataError, match=r"the sum has shape \(3,\); expected are 10 elements and their weight"):
        average(np.ones(3), BEFORE)


def test_fingerprints_tell_apart_values_types_shapes_and_steps():
    variants = [
        fingerprint(BEFORE, 0),
        fingerprint(BEFORE, 1),
        fingerprint(shifted(1e-6), 0),
        fingerprint([BEFORE[0].reshape(3, 2), BEFORE[1]], 0),
        fingerprint([BEFORE[0].astype(np.float64), BEFORE[1]], 0),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint([np.asfortranarray(array) for array in BEFORE], 0) == variants[0]

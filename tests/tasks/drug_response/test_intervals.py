"""Intervals hold what they promise of new patients."""

import numpy as np
import pytest

from oncotrain.tasks.drug_response.intervals import residual_quantiles
from oncotrain.tasks.drug_response.metrics import pair_sums


def test_intervals_hold_the_promised_share_of_new_responses() -> None:
    rng = np.random.default_rng(0)
    scale = np.array([0.5, 1.0, 3.0])
    held = [pair_sums(scale * rng.normal(size=3), np.zeros(3)) for _ in range(400)]
    half_width = residual_quantiles(held, 0.9)
    new = np.abs(scale * rng.normal(size=(20000, 3)))
    assert (new <= half_width).mean(axis=0) == pytest.approx(np.full(3, 0.9), abs=0.04)


def test_a_drug_with_few_patients_takes_the_residuals_of_all() -> None:
    true = np.array([[1.0, 5.0], [2.0, np.nan], [3.0, np.nan], [4.0, np.nan], [6.0, np.nan]])
    half_width = residual_quantiles([pair_sums(row, np.zeros(2)) for row in true], 0.8)
    assert half_width.tolist() == [6.0, 5.0 if np.ceil(7 * 0.8) == 5 else 6.0]
    assert np.isinf(residual_quantiles([pair_sums(row, np.zeros(2)) for row in true], 0.99)).all()

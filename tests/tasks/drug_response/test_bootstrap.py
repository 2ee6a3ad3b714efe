"""All resamples at once give what merging each one gives."""

import numpy as np
import pytest

from oncotrain.tasks.drug_response.bootstrap import draw_patients, resampled_figures
from oncotrain.tasks.drug_response.metrics import merge_sums, pair_sums, response_figures


def test_resamples_equal_merging_each() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 6)) + 50
    true[rng.random(true.shape) < 0.2] = np.nan
    predicted = np.nan_to_num(true, nan=50) + rng.normal(size=true.shape)
    patients = {f"p{at:02}": pair_sums(t, p) for at, (t, p) in enumerate(zip(true, predicted, strict=True))}
    patients["p40"] = merge_sums([patients["p00"], patients["p01"]])  # one with two samples
    names = ("pearson_per_drug", "r2_per_drug", "rmse")
    draws = draw_patients(len(patients), 7, seed=1)
    assert (draws.sum(axis=1) == 41).all()
    made = resampled_figures(patients, draws, 5, names)
    parts = list(patients.values())
    for draw, figures in zip(draws, made, strict=True):
        merged = merge_sums([part for part, count in zip(parts, draw, strict=True) for _ in range(count)])
        expected = response_figures(merged, 5)
        assert figures == pytest.approx([expected[name] for name in names], rel=1e-9)

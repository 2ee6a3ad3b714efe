"""Figures against scipy and scikit-learn, and exactness of their merge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from oncotrain.tasks import Sums
from oncotrain.tasks.drug_response.metrics import merge_sums, pair_sums, response_figures, spearman_per_drug, told_sums


def responses(seed: int, samples: int, drugs: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (samples, drugs) with a third missing, and a related prediction."""
    rng = np.random.default_rng(seed)
    true = offset + rng.normal(size=(samples, drugs)) + 3 * rng.normal(size=drugs)
    predicted = 0.5 * true + rng.normal(size=(samples, drugs))
    return np.where(rng.random(true.shape) < 0.33, np.nan, true), predicted


def sums_of(true: np.ndarray, predicted: np.ndarray) -> Sums:
    return merge_sums([pair_sums(*sample) for sample in zip(true, predicted, strict=True)])


def test_figures_are_those_of_scipy_and_scikit_learn() -> None:
    true, predicted = responses(seed=1, samples=60, drugs=7)
    observed = ~np.isnan(true)
    columns = [(true[seen, drug], predicted[seen, drug]) for drug, seen in enumerate(observed.T)]

    figures = response_figures(sums_of(true, predicted), minimum_samples=2)

    assert figures["pearson_per_drug"] == pytest.approx(
        np.mean([pearsonr(*column)[0] for column in columns]), rel=1e-12
    )
    assert figures["r2_per_drug"] == pytest.approx(np.mean([r2_score(*column) for column in columns]), rel=1e-12)
    centred = [(own - own.mean(), guess - guess.mean()) for own, guess in columns]
    own, guess = (np.concatenate(parts) for parts in zip(*centred, strict=True))
    error = np.concatenate([one - other for one, other in columns])
    assert figures["pearson_normalized"] == pytest.approx(pearsonr(own, guess)[0], rel=1e-12)
    assert figures["r2_normalized"] == pytest.approx(1 - (error**2).sum() / (own**2).sum(), rel=1e-12)
    pairs = true[observed], predicted[observed]
    assert figures["pearson_all_pairs"] == pytest.approx(pearsonr(*pairs)[0], rel=1e-12)
    assert figures["r2_all_pairs"] == pytest.approx(r2_score(*pairs), rel=1e-12)
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(*pairs), rel=1e-12)
    assert figures["pairs"] == observed.sum()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    sites=st.lists(st.integers(0, 4), min_size=20, max_size=20),
    offset=st.sampled_from([0.0, 10.0, 1e3]),
)
def test_merging_any_partition_gives_the_pooled_sums(seed: int, sites: list[int], offset: float) -> None:
    true, predicted = responses(seed, samples=20, drugs=5, offset=offset)
    pooled = sums_of(true, predicted)
    masks = [np.array(sites) == site for site in sorted(set(sites))]

    merged = merge_sums([sums_of(true[mask], predicted[mask]) for mask in masks])

    for name, values in pooled.items():
        assert merged[name] == pytest.approx(values, rel=1e-10, abs=1e-10), name


def test_a_far_offset_costs_no_precision() -> None:
    true, predicted = responses(seed=2, samples=40, drugs=3)
    near = response_figures(sums_of(true, predicted), minimum_samples=2)
    far = response_figures(sums_of(true + 1e6, predicted + 1e6), minimum_samples=2)
    assert far["pearson_per_drug"] == pytest.approx(near["pearson_per_drug"], rel=1e-8)


@pytest.mark.parametrize("value", [0.1, 3.3e5])
def test_a_constant_prediction_has_no_correlation_but_an_r2(value: float) -> None:
    true, _ = responses(seed=3, samples=30, drugs=4)
    figures = response_figures(sums_of(true, np.full(true.shape, value)), minimum_samples=2)
    assert np.isnan(figures["pearson_per_drug"])
    assert np.isfinite(figures["r2_per_drug"])


def test_constant_truth_and_single_pairs_are_undefined() -> None:
    true = np.array([[1.5, 2.0], [1.5, np.nan], [1.5, np.nan]])
    figures = response_figures(sums_of(true, np.arange(6.0).reshape(3, 2)), minimum_samples=1)
    assert np.isnan(figures["pearson_per_drug"])
    assert np.isnan(figures["r2_per_drug"])


def test_no_pair_at_all_is_undefined() -> None:
    figures = response_figures(sums_of(np.full((2, 3), np.nan), np.zeros((2, 3))), minimum_samples=2)
    assert figures["pairs"] == 0
    assert np.isnan(figures["rmse"])


def test_drugs_below_the_minimum_do_not_count() -> None:
    true, _ = responses(seed=4, samples=30, drugs=3)
    true[3:, 0] = np.nan
    predicted = true + 0.1
    predicted[:3, 0] = 100.0
    all_drugs, enough = (response_figures(sums_of(true, predicted), minimum_samples=number) for number in (1, 10))
    assert (all_drugs["drugs"], enough["drugs"]) == (3, 2)
    assert enough["r2_per_drug"] > 0 > all_drugs["r2_per_drug"]


def test_a_drug_of_few_pairs_is_not_told_and_the_others_are_as_they_were() -> None:
    true, predicted = responses(seed=5, samples=12, drugs=20)
    true[:9, 3] = np.nan
    sums = sums_of(true, predicted)
    told = told_sums(sums, 8)
    large = sums["n"] >= 8
    assert not large.all()
    for name, values in told.items():
        assert values[large].tolist() == sums[name][large].tolist()
        assert not values[~large].any()
    alone = sums_of(true[:, large], predicted[:, large])
    expected = response_figures(alone, 2)
    assert response_figures(told, 2) == pytest.approx(expected, rel=1e-12)
    assert response_figures(merge_sums([told, told_sums(sums, 10**6)]), 2) == pytest.approx(expected, rel=1e-12)


def test_spearman_is_scipys_over_the_patients_of_each_drug() -> None:
    true, predicted = responses(seed=6, samples=40, drugs=5)
    true[:, 1] = np.nan  # a drug that nobody was tested with
    true[5:, 2] = np.nan  # too few
    predicted[:, 3] = 1.0  # undefined
    patients = [pair_sums(*sample) for sample in zip(true, predicted, strict=True)]
    kept = [
        spearmanr(true[seen, drug], predicted[seen, drug]).statistic
        for drug in (0, 4)
        for seen in [~np.isnan(true[:, drug])]
    ]
    assert spearman_per_drug(patients, 10) == pytest.approx(np.mean(kept), rel=1e-12)
    assert np.isnan(spearman_per_drug(patients, 41))


def test_spearman_takes_samples_of_one_patient_as_one() -> None:
    true, predicted = responses(seed=7, samples=30, drugs=1)
    true = np.nan_to_num(true, nan=0.25)
    pairs = [pair_sums(*sample) for sample in zip(true, predicted, strict=True)]
    patients = [merge_sums(pairs[at : at + 2]) for at in range(0, 30, 2)]
    means = [values.reshape(15, 2).mean(axis=1) for values in (true[:, 0], predicted[:, 0])]
    assert spearman_per_drug(patients, 2) == pytest.approx(spearmanr(*means).statistic, rel=1e-12)


def test_a_drugs_mean_predicts_nothing_once_effects_are_off() -> None:
    true, _ = responses(seed=8, samples=50, drugs=6, offset=100.0)
    figures = response_figures(sums_of(true, np.tile(np.nanmean(true, axis=0), (50, 1))), minimum_samples=2)
    assert figures["pearson_all_pairs"] > 0.8
    assert np.isnan(figures["pearson_normalized"])
    assert figures["r2_normalized"] == pytest.approx(0, abs=1e-9)

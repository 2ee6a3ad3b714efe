"""The ridge from sites' sums equals the pooled one; small sites and patterns keep their sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.tasks.drug_response.models.ridge import FEWEST, fit_ridge
from oncotrain.tasks.drug_response.ridge.axes import agree_axes, axes_sums
from oncotrain.tasks.drug_response.ridge.solve import solve_ridge
from oncotrain.tasks.drug_response.ridge.sums import closest, gram_sums, size


def made(rows: int, inputs: int, targets: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of falling variance and targets, several of which share a missingness pattern."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs)) @ np.diag(1 / np.arange(1, inputs + 1) ** 0.5) + 3
    y = x[:, :8] @ rng.normal(size=(8, targets)) + 0.5 * rng.normal(size=(rows, targets))
    masks = rng.random((rows, max(targets // 3, 1))) < 0.25
    y[masks[:, rng.integers(0, masks.shape[1], targets)]] = np.nan
    return x, y


def names(x: np.ndarray) -> list[str]:
    """A patient for each row."""
    return [str(row) for row in range(len(x))]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(12, 110), min_size=1, max_size=4, unique=True))
def test_two_rounds_over_unequal_sites_equal_the_pooled_ridge(seed: int, cuts: list[int]) -> None:
    x, y = made(120, 60, 14, seed)
    sites = list(zip(np.split(x, sorted(cuts)), np.split(y, sorted(cuts)), strict=True))

    axes = agree_axes([axes_sums(inputs, 20, seed=5) for inputs, _ in sites], seed=5)
    solution = solve_ridge([gram_sums(axes.project(i), t, names(i), floor=1) for i, t in sites], np.zeros(14), FEWEST)

    coordinates = axes.project(x)
    pooled = fit_ridge(coordinates, y, np.zeros(14))
    assert axes.axes.T @ axes.axes == pytest.approx(np.eye(20), abs=1e-10)
    assert axes.centre == pytest.approx(x.mean(axis=0), rel=1e-12)
    assert solution.weights == pytest.approx(pooled.weights, rel=1e-8, abs=1e-10)
    assert solution.intercept == pytest.approx(pooled.intercept, rel=1e-8, abs=1e-10)
    assert solution.rows.tolist() == (~np.isnan(y)).sum(axis=0).tolist()


def test_one_gram_for_all_targets_would_be_wrong() -> None:
    x, y = made(90, 30, 9, seed=3)
    axes = agree_axes([axes_sums(x, 10, seed=1)], seed=1)
    sums = gram_sums(axes.project(x), y, names(x), floor=1)
    assert len(sums["count"]) == len(np.unique(~np.isnan(y), axis=1).T) > 1
    one = {**sums, "pattern": np.zeros(9)}
    pooled = fit_ridge(axes.project(x), y, np.zeros(9))
    assert not np.allclose(solve_ridge([one], np.zeros(9), FEWEST).weights, pooled.weights, rtol=0.01)


def test_the_axes_hold_what_the_leading_components_hold() -> None:
    x, _ = made(200, 80, 3, seed=4)
    axes = agree_axes([axes_sums(x[:50], 30, seed=2), axes_sums(x[50:], 30, seed=2)], seed=2)
    centred = x - x.mean(axis=0)
    best = (np.linalg.svd(centred, compute_uv=False)[:30] ** 2).sum()
    assert (axes.project(x) ** 2).sum() > 0.85 * best


def test_a_pattern_below_the_floor_stays_at_its_site() -> None:
    x, y = made(60, 20, 6, seed=5)
    y[:, 5] = np.nan
    y[:4, 5] = 1.0  # a target seen on 4 rows of the first site
    y[40:, 5] = 2.0
    axes = agree_axes([axes_sums(x, 8, seed=1)], seed=1)
    parts = [
        gram_sums(axes.project(x[rows]), y[rows], names(x)[rows], floor=5) for rows in (slice(0, 30), slice(30, 60))
    ]
    assert parts[0]["pattern"][5] == -1
    assert (parts[0]["count"] >= 5).all()
    assert parts[0]["total"][5] == parts[0]["squares"][5] == 0
    assert not parts[0]["cross"][:, 5].any()
    solution = solve_ridge(parts, np.full(6, 9.0), FEWEST)
    assert solution.rows[5] == 20
    assert solution.intercept[5] == pytest.approx(2.0)
    assert solve_ridge(parts[:1], np.full(6, 9.0), FEWEST).intercept[5] == 9.0


def test_several_rows_of_few_patients_are_below_the_floor() -> None:
    x, y = made(12, 10, 3, seed=7)
    y[:] = 1.0
    axes = agree_axes([axes_sums(x, 4, seed=1)], seed=1)
    twice = [str(row // 4) for row in range(12)]
    assert (gram_sums(axes.project(x), y, twice, floor=4)["pattern"] == -1).all()
    assert (gram_sums(axes.project(x), y, twice, floor=3)["pattern"] == 0).all()


def test_what_leaves_is_counted_and_how_close_patterns_are_is_known() -> None:
    x, y = made(30, 10, 4, seed=6)
    y[:] = 1.0
    assert closest(y) == 0
    y[0, 2] = y[1, 3] = y[2, 3] = np.nan
    assert closest(y) == 1
    axes = agree_axes([axes_sums(x, 4, seed=1)], seed=1)
    sums = gram_sums(axes.project(x), y, names(x), floor=1)
    assert size(sums) == 8 * (4 + 3 + 3 * 4 + 3 * 10 + 4 * 4 + 4 + 4)

"""The bootstrap and the verdict, on a task whose figure is a plain mean."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.study.statistics import Interval, bootstrap, difference, verdict


class MeanTask:
    """Just the two verbs that statistics uses."""

    def merge(self, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {key: np.sum([part[key] for part in parts], axis=0) for key in parts[0]}

    def figures(self, sums: dict[str, np.ndarray]) -> dict[str, float]:
        return {"score": float(sums["sum"] / sums["n"])}


def patients(values: Sequence[float]) -> dict[str, dict[str, np.ndarray]]:
    return {f"p{i:03}": {"sum": np.array(v), "n": np.array(1.0)} for i, v in enumerate(values)}


def test_interval_matches_the_normal_approximation_of_a_mean():
    values = np.random.default_rng(0).normal(0.6, 0.1, size=200)
    interval = bootstrap(MeanTask(), [patients(values)], "score", resamples=2000, seed=1)
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.003)
    assert interval.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.003)


def test_pairing_removes_what_patients_share():
    rng = np.random.default_rng(0)
    hard = rng.normal(0.5, 0.2, size=50)
    arm, reference = patients(hard + 0.02), patients(hard)
    paired = difference(MeanTask(), [arm], [reference], "score", resamples=500, seed=0)
    assert (paired.low, paired.value, paired.high) == pytest.approx((0.02, 0.02, 0.02))
    alone = bootstrap(MeanTask(), [arm], "score", resamples=500, seed=0)
    assert alone.high - alone.low > 0.05


def test_arms_on_different_patients_are_refused():
    with pytest.raises(ValueError, match="different patients"):
        difference(MeanTask(), [patients([1, 2])], [patients([1, 2, 3])], "score", resamples=100, seed=0)


def test_swapping_the_arms_flips_the_difference():
    arm, reference = patients([0.5, 0.6, 0.9]), patients([0.4, 0.7, 0.1])
    there = difference(MeanTask(), [arm], [reference], "score", resamples=200, seed=0)
    back = difference(MeanTask(), [reference], [arm], "score", resamples=200, seed=0)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0.001, 0.5))
def test_verdict_covers_every_interval_once(value: float, half: float, margin: float):
    said = verdict(Interval(value=value, low=value - half, high=value + half), margin)
    assert said.startswith("not worse") == (value - half > -margin)
    assert said.startswith("worse") == (value + half < -margin)

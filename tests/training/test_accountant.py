"""Epsilon of private steps, against two accountants that others wrote."""

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant

from oncotrain.training.accountant import PrivateSteps, epsilon

CASES = [
    PrivateSteps(0.01, 1.1, 1000),
    PrivateSteps(0.004, 0.8, 5000),
    PrivateSteps(0.1, 2.0, 300),
    PrivateSteps(0.5, 4.0, 60),
    PrivateSteps(1.0, 8.0, 20),
]


def by_google(spent: list[PrivateSteps], delta: float) -> float:
    accountant = RdpAccountant()
    for each in spent:
        gaussian = dp_accounting.GaussianDpEvent(each.noise_multiplier)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(each.sample_rate, gaussian), each.steps)
    return float(accountant.get_epsilon(delta))


def by_opacus(spent: list[PrivateSteps], delta: float) -> float:
    accountant = RDPAccountant()
    for each in spent:
        for _ in range(each.steps):
            accountant.step(noise_multiplier=each.noise_multiplier, sample_rate=each.sample_rate)
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize("delta", [1e-5, 1e-3])
@pytest.mark.parametrize("steps", CASES)
def test_it_is_what_opacus_and_dp_accounting_say(steps, delta):
    found = epsilon([steps], delta)
    assert found == pytest.approx(by_opacus([steps], delta), rel=0.01)
    assert found == pytest.approx(by_google([steps], delta), rel=0.01)


def test_where_little_is_spent_the_bound_is_still_tight():
    """Opacus's own orders end at 63, where its bound is looser."""
    little = [PrivateSteps(0.001, 4.0, 10)]
    assert epsilon(little, 1e-5) == pytest.approx(by_google(little, 1e-5), rel=0.01)
    with pytest.warns(UserWarning, match="largest alpha"):
        assert epsilon(little, 1e-5) < 0.5 * by_opacus(little, 1e-5)


def test_runs_of_different_kinds_compose():
    found = epsilon(CASES[:3], 1e-5)
    assert found == pytest.approx(by_google(CASES[:3], 1e-5), rel=0.01)
    assert max(epsilon([each], 1e-5) for each in CASES[:3]) < found < sum(epsilon([each], 1e-5) for each in CASES[:3])


@settings(deadline=None, max_examples=25)
@given(st.floats(0.001, 1.0), st.floats(0.6, 10.0), st.integers(1, 500), st.integers(0, 500))
def test_two_runs_cost_what_one_long_run_costs(rate, noise, first, second):
    parts = [PrivateSteps(rate, noise, first), PrivateSteps(rate, noise, second)]
    assert epsilon(parts, 1e-5) == pytest.approx(epsilon([PrivateSteps(rate, noise, first + second)], 1e-5), rel=1e-9)
    assert epsilon(parts, 1e-5) >= epsilon(parts[:1], 1e-5)


def test_nothing_spent_is_nothing():
    assert epsilon([], 1e-5) == 0
    assert epsilon([PrivateSteps(0.1, 1.0, 0)], 1e-5) == 0

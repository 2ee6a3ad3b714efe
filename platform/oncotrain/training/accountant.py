"""What private steps cost: Renyi differential privacy of the Poisson-sampled Gaussian mechanism, by Opacus."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

ORDERS = [*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), 128, 256, 512]
"""Renyi orders at which the cost is bounded. Opacus's own end at 63, where little is spent they bound it loosely."""


class PrivateSteps(NamedTuple):
    """Steps of one kind: all that their cost depends on."""

    sample_rate: float
    """Probability with which a patient takes part in a step."""
    noise_multiplier: float
    """Standard deviation of the noise, in units of the largest norm of a patient's gradient."""
    steps: int


def epsilon(spent: Iterable[PrivateSteps], delta: float) -> float:
    """The epsilon for which all `spent` steps together are (epsilon, delta)-differentially private; 0 of none.

    Steps compose by adding their Renyi divergences (Mironov 2017, arXiv:1702.07476), which is far less than adding
    epsilons; the divergence of one is that of Mironov, Talwar and Zhang 2019, arXiv:1908.10530. Two data sets are
    neighbours if one has one patient more.
    """
    from opacus.accountants import RDPAccountant  # takes seconds to import, and only private runs need it

    steps_of_kind: Counter[tuple[float, float]] = Counter()
    for each in spent:
        steps_of_kind[each.noise_multiplier, each.sample_rate] += each.steps
    accountant = RDPAccountant()
    accountant.history = [(*kind, steps) for kind, steps in steps_of_kind.items() if steps]
    return max(0.0, float(accountant.get_epsilon(delta, alphas=ORDERS)))

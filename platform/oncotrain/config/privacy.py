"""Differential privacy: how a run is made private, and the limit that a site sets itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from oncotrain.config.load import Frozen

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Budget(Frozen):
    """A limit: with probability 1 - delta, nobody's part in training changes the odds of any outcome by more than
    e^max_epsilon (Dwork and Roth 2014, The algorithmic foundations of differential privacy)."""

    max_epsilon: Positive
    delta: float = Field(gt=0, lt=1)
    """Well below 1 / (number of patients)."""


class PrivacyConfig(Budget):
    """DP-SGD (Abadi et al. 2016, arXiv:1607.00133) with the patient as the unit; the budget is the run's, at each site.

    With it, `train.batch_size` is the number of patients expected in a step, not of rows.
    """

    noise_multiplier: Positive
    """Standard deviation of the noise on the sum of the patients' gradients, in units of `max_grad_norm`."""
    max_grad_norm: Positive
    """Largest L2 norm of one patient's gradient."""


class ControlConfig(Frozen):
    """The arm to compare with: the same model and sampler with neither clipping nor noise. It protects nobody."""

    control: Literal[True]


class SitePrivacyConfig(Budget):
    """Differential privacy with the whole site as the unit (McMahan et al. 2018, arXiv:1710.06963), for many sites; the
    budget is the run's. Sites clip, the coordinator adds the noise and is trusted to."""

    noise_multiplier: Positive
    """Standard deviation of the noise on the sum of the sites' updates, in units of `clipping_norm`."""
    clipping_norm: Positive
    """Largest L2 norm of what a site changes the common parameters by in a round."""


class SiteBudget(Budget):
    """`audit/privacy.yaml` in a site's lake: what all runs together may spend. The site's owner alone writes it."""

    private_only: bool = True
    """Refuse training without privacy, which no epsilon bounds. False to compare arms on data that need none."""


def _kind(value: Any) -> str:
    control = isinstance(value, ControlConfig) or (isinstance(value, Mapping) and "control" in value)
    return "control" if control else "private"


Privacy = Annotated[
    Annotated[PrivacyConfig, Tag("private")] | Annotated[ControlConfig, Tag("control")], Discriminator(_kind)
]
"""The `privacy:` section of `train`: all four keys of `PrivacyConfig`, or `control: true` alone."""

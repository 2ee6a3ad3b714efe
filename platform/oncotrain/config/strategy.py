"""How sites' parameters become common ones; in YAML a name, or a mapping of `name` and the strategy's settings."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from oncotrain.config.load import Frozen


class _Strategy(Frozen):
    remembers: ClassVar[bool] = False
    """Whether the coordinator keeps more than the common parameters from round to round."""

    @property
    def fewest_sites(self) -> int:
        """Answers below which the strategy does not do what it is for."""
        return 1


class FedAvgConfig(_Strategy):
    """The mean of the sites' parameters: McMahan et al. 2017, arXiv:1602.05629."""

    name: Literal["fedavg"] = "fedavg"


class FedProxConfig(_Strategy):
    """FedAvg of sites that minimize loss + mu / 2 * |w - common w|^2: Li et al. 2020, arXiv:1812.06127."""

    name: Literal["fedprox"] = "fedprox"
    proximal_mu: NonNegativeFloat = 0.01
    """mu; 0 is FedAvg."""


class FedAdamConfig(_Strategy):
    """The change of FedAvg as the gradient of an Adam at the coordinator: Reddi et al. 2021, arXiv:2003.00295.

    The names are the paper's and Flower's. As in Flower, the rate is corrected for the moments' start at zero.
    """

    remembers: ClassVar[bool] = True
    name: Literal["fedadam"] = "fedadam"
    eta: PositiveFloat = 0.1
    """The coordinator's learning rate: about how far a parameter moves in a round."""
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    tau: PositiveFloat = 1e-3
    """Added to the root of the second moment: the smaller, the more adaptive."""


class FedMedianConfig(_Strategy):
    """The median of each parameter: Yin et al. 2018, arXiv:1803.01498. Every site has one vote."""

    name: Literal["fedmedian"] = "fedmedian"

    @property
    def fewest_sites(self) -> int:
        """The median of two is their mean."""
        return 3


class FedTrimmedAvgConfig(_Strategy):
    """The mean of each parameter without its extremes: Yin et al. 2018, arXiv:1803.01498. Every site has one vote."""

    name: Literal["fedtrimmedavg"] = "fedtrimmedavg"
    beta: float = Field(default=0.2, gt=0, lt=0.5)
    """Of n sites, floor(beta * n) are cut off at each end."""

    @property
    def fewest_sites(self) -> int:
        """With fewer, nothing is cut off."""
        return math.ceil(1 / self.beta)


class KrumConfig(_Strategy):
    """The parameters of the one site that is closest to its neighbours: Blanchard et al. 2017, arXiv:1703.02757."""

    name: Literal["krum"] = "krum"
    malicious_sites: NonNegativeInt = 1
    """f: answers that may be arbitrary."""

    @property
    def fewest_sites(self) -> int:
        """n >= 2 f + 3, the paper's condition."""
        return 2 * self.malicious_sites + 3


class ScaffoldConfig(_Strategy):
    """FedAvg of sites that correct their drift by control variates: Karimireddy et al. 2020, arXiv:1910.06378."""

    remembers: ClassVar[bool] = True
    name: Literal["scaffold"] = "scaffold"


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


StrategyConfig = Annotated[
    FedAvgConfig | FedProxConfig | FedAdamConfig | FedMedianConfig | FedTrimmedAvgConfig | KrumConfig | ScaffoldConfig,
    Field(discriminator="name"),
    BeforeValidator(_by_name),
]

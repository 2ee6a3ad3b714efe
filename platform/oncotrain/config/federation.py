"""The `federated:` section of a run's YAML."""

from typing import Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from oncotrain.config.load import Frozen
from oncotrain.config.privacy import SitePrivacyConfig
from oncotrain.config.secure_aggregation import SecureAggregation, refuse_single_updates
from oncotrain.config.strategy import FedAvgConfig, StrategyConfig


class FederatedConfig(Frozen):
    """How sites train together.

    The run makes ``rounds * local_steps`` sequential gradient steps, whatever ``train.steps`` says: that many at every
    site, so that K sites of batch size B see K * B rows a step.
    """

    strategy: StrategyConfig = FedAvgConfig()
    """``fedavg``, or with settings: ``{name: fedprox, proximal_mu: 0.1}``."""
    rounds: PositiveInt = 10
    local_steps: PositiveInt = 10
    """Gradient steps at every site between two aggregations."""
    weighting: Literal["loss_count", "equal"] = "loss_count"
    """A site's weight: the items its training loss counts (observed pairs, labelled images), or one vote a site.
    fedmedian, fedtrimmedavg and krum give each site one vote whatever stands here, since a weight is the site's own
    word and they are for sites that may be wrong; they use it for the loss that they report alone."""
    fraction: float = Field(default=1.0, gt=0, le=1)
    """Of the sites online, how many train in a round, drawn anew each round; `min_sites` or more."""
    evaluate_every: PositiveInt = 1
    """Rounds between two measurements of the common parameters on the sites' validation patients."""
    min_sites: PositiveInt = Field(default=2, validate_default=True)
    """Fewer answers than this are no round: where sites were lost it is repeated, once so many are online again."""
    round_attempts: PositiveInt = 3
    """Times that a round is tried. With `secure_aggregation` it is tried once: a site adds to one sum a round."""
    min_patients: PositiveInt = 5
    """Disclosure floor: a site keeps sums over fewer patients than this to itself."""
    round_deadline: PositiveFloat = 3600.0
    """Seconds that a site may take to answer one message."""
    join_deadline: NonNegativeFloat = 600.0
    """Seconds to wait for the sites before the first round."""
    largest_update: float | None = Field(default=None, gt=1)
    """A site's update that is longer (L2) than this many times the median of the others' of its round is left out;
    None: none is, however long."""
    secure_aggregation: SecureAggregation | None = None
    """How sites hide their updates from the coordinator; None: they do not."""
    site_privacy: SitePrivacyConfig | None = None
    """Differential privacy of each site as a whole; None: none."""

    @field_validator("min_sites")
    @classmethod
    def _enough_for_strategy(cls, value: int, info: ValidationInfo) -> int:
        strategy = info.data.get("strategy")
        if strategy is not None and value < strategy.fewest_sites:
            raise ValueError(f"strategy {strategy.name} with its settings needs {strategy.fewest_sites} sites or more")
        return value

    @model_validator(mode="after")
    def _aggregates(self) -> Self:
        hiding = {"secure_aggregation": self.secure_aggregation, "site_privacy": self.site_privacy}
        refuse_single_updates(self.strategy.name, **hiding)
        hidden = [key for key, setting in hiding.items() if setting]
        if hidden and self.largest_update:
            raise ValueError(f"largest_update compares single sites' updates, which {hidden[0]} hides")
        if self.site_privacy and self.weighting != "equal":
            raise ValueError("site_privacy needs weighting: equal; a heavier site would count for more than its noise")
        return self

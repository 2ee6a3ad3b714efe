"""The `federated:` section of a run's YAML."""

from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from oncotrain.config.load import Frozen
from oncotrain.config.secure_aggregation import SecureAggregation, refuse_single_updates


class FederatedConfig(Frozen):
    """How sites train together.

    The run makes ``rounds * local_steps`` sequential gradient steps, whatever ``train.steps`` says: that many at every
    site, so that K sites of batch size B see K * B rows a step.
    """

    strategy: Literal["fedavg"] = "fedavg"
    """How parameters are aggregated: McMahan et al., Communication-efficient learning of deep networks, 2017."""
    rounds: PositiveInt = 10
    local_steps: PositiveInt = 10
    """Gradient steps at every site between two aggregations."""
    weighting: Literal["loss_count", "equal"] = "loss_count"
    """A site's weight: the items its training loss counts (observed pairs, labelled images), or one vote a site."""
    evaluate_every: PositiveInt = 1
    """Rounds between two measurements of the common parameters on the sites' validation patients."""
    min_sites: PositiveInt = 2
    """Fewer sites than this in a round end the run."""
    min_patients: PositiveInt = 5
    """Disclosure floor: a site keeps sums over fewer patients than this to itself."""
    round_deadline: PositiveFloat = 3600.0
    """Seconds that a site may take to answer one message."""
    join_deadline: NonNegativeFloat = 600.0
    """Seconds to wait for the sites before the first round."""
    secure_aggregation: SecureAggregation | None = None
    """How sites hide their updates from the coordinator; None: they do not."""

    @model_validator(mode="after")
    def _aggregates(self) -> Self:
        refuse_single_updates(self.strategy, self.secure_aggregation)
        return self

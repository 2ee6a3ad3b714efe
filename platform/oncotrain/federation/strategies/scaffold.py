"""SCAFFOLD: local steps corrected by control variates, with option II of the paper for the variates.

Karimireddy et al. 2020, SCAFFOLD: Stochastic controlled averaging for federated learning, arXiv:1910.06378,
algorithm 1, with a global step size of 1. A site's steps follow g - c_i + c, where c_i is its own variate, an estimate
of its mean gradient, and c the sites' mean of those; so that sites whose data differ do not drift to their own optima.

Messages carry 2 n arrays: down n common parameters and c, up n parameters and the change of c_i. A c_i stays at its
site. Sites may weigh differently, and only some may train in a round: the mean of the paper is then
c = sum of w_i c_i / sum of w_i over all sites (weights of sites not yet heard are taken as the mean of the others, with
a c_i of 0), which is the paper's c where weights are equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from oncotrain.config.training import TrainConfig
from oncotrain.errors import UserError
from oncotrain.federation.strategies.local_steps import LocalSteps
from oncotrain.federation.wire.parcel import ARRAYS, CONFIG, METRICS, Parcel
from oncotrain.training.fit import Correction, StepLoss
from oncotrain.training.state import get_parameters, learning_rate, set_parameters, trainable

COUNTED = "counted"
"""Key of a request: the last round in which this site's answer was counted, 0 if none. An answer that came too late
changed the site's variate and not the common one; the site then goes on from the variate that was counted."""


class Scaffold(FedAvg):
    """The coordinator's part: the mean of the sites' parameters, and the common variate."""

    def __init__(self, sites: int, **options: Any) -> None:
        """`sites` is the number of all sites; options are FedAvg's."""
        super().__init__(**options)
        self.sites = sites
        self._sums: list[np.ndarray] = []
        """Sum of w_i c_i over the sites, float64."""
        self._weights: dict[int, float] = {}
        self._counted: dict[int, int] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's messages, with the common variate after the parameters and each site's own `COUNTED`."""
        parameters = arrays.to_numpy_ndarrays()
        both = ArrayRecord([*parameters, *self._common_variate(parameters)])
        for message in super().configure_train(server_round, both, config, grid):
            node = message.metadata.dst_node_id
            own = ConfigRecord({**message.content.config_records[CONFIG], COUNTED: self._counted.get(node, 0)})
            yield Message(RecordDict({ARRAYS: both, CONFIG: own}), node, message.metadata.message_type)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The weighted mean of the sites' parameters; the common variate is brought up to date."""
        replies = [reply for reply in replies if not reply.has_error()]
        means, metrics = super().aggregate_train(server_round, replies)
        if means is None:
            return None, metrics
        parameters, changes = _halves(means.to_numpy_ndarrays())
        weights = {reply.metadata.src_node_id: self._weight(reply) for reply in replies}
        total = sum(weights.values())
        sums = self._sums or [np.zeros(change.shape) for change in changes]
        self._sums = [old + total * change.astype(np.float64) for old, change in zip(sums, changes, strict=True)]
        self._weights |= weights
        self._counted |= dict.fromkeys(weights, server_round)
        return ArrayRecord(list(parameters)), metrics

    def _common_variate(self, parameters: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not self._sums:
            return [np.zeros_like(each) for each in parameters]
        total = sum(self._weights.values()) * self.sites / len(self._weights)
        return [(value / total).astype(each.dtype) for value, each in zip(self._sums, parameters, strict=True)]

    def _weight(self, reply: Message) -> float:
        return float(str(reply.content.metric_records[METRICS][self.weighted_by_key]))


@dataclass(frozen=True)
class _Round:
    """A site's round: its number, and as it began the parameters, the common variate and the site's own."""

    number: int
    start: list[torch.Tensor]
    common: list[torch.Tensor]
    own: list[torch.Tensor]


class ScaffoldSteps(LocalSteps):
    """A site's part: corrected steps, and the site's variate, which it keeps between rounds."""

    def __init__(self, train: TrainConfig) -> None:
        self.train = train
        self._variates: dict[int, list[torch.Tensor]] = {}
        """After these rounds: the last that was counted, and those since."""
        self._round: _Round | None = None

    def begin(self, model: torch.nn.Module, request: Parcel) -> Correction:
        """Give `model` the common parameters; the correction is c - c_i.

        Raises UserError if the coordinator counted a round of which this site has no variate, as after a restart.
        """
        parameters, variate = _halves(request.parameters)
        set_parameters(model, parameters)
        start = [each.detach().clone() for each in trainable(model)]
        common = [torch.as_tensor(value).to(each) for value, each in zip(variate, start, strict=True)]
        counted = int(request.body[COUNTED])
        if counted and counted not in self._variates:
            raise UserError(f"the control variate of round {counted} is lost; the run has to begin anew")
        own = self._variates[counted] if counted else [torch.zeros_like(each) for each in start]
        self._variates = {counted: own}
        self._round = _Round(int(request.body["round"]), start, common, own)
        terms = [c - c_i for c, c_i in zip(common, own, strict=True)]
        return lambda _parameters: terms

    def end(self, model: torch.nn.Module, history: Sequence[StepLoss]) -> list[np.ndarray]:
        """The parameters, and the change of this site's variate: c_i+ - c_i = (start - end) / (sum of rates) - c.

        With one rate for all steps the sum is the paper's K eta. Batches without a label made no step.
        """
        round_, rates = self._round, sum(learning_rate(loss.step, self.train) for loss in history if loss.count)
        assert round_ is not None, "begin comes first"  # noqa: S101
        changes = [
            (start - end.detach()) / rates - c if rates else torch.zeros_like(c)
            for start, end, c in zip(round_.start, trainable(model), round_.common, strict=True)
        ]
        self._variates[round_.number] = [c_i + change for c_i, change in zip(round_.own, changes, strict=True)]
        return get_parameters(model) + [change.cpu().numpy() for change in changes]


def _halves(arrays: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    middle = len(arrays) // 2
    return arrays[:middle], arrays[middle:]

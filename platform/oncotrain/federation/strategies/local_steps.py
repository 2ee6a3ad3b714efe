"""A strategy's part at a site: what comes before and after the local steps, and what is added to their gradient."""

from collections.abc import Sequence

import numpy as np
import torch

from oncotrain.federation.wire.parcel import Parcel
from oncotrain.training.fit import Correction, StepLoss
from oncotrain.training.state import get_parameters, set_parameters, trainable


class LocalSteps:
    """Plain local steps: all that a site does for FedAvg and the strategies that differ from it at the coordinator."""

    def begin(self, model: torch.nn.Module, request: Parcel) -> Correction | None:
        """Give `model` the request's common parameters; what is to be added to the gradient of each local step."""
        set_parameters(model, request.parameters)
        return None

    def end(self, model: torch.nn.Module, history: Sequence[StepLoss]) -> list[np.ndarray]:  # noqa: ARG002 - of others
        """What the site answers after the steps in `history`."""
        return get_parameters(model)


class ProximalSteps(LocalSteps):
    """FedProx: steps on loss + mu / 2 * |w - common w|^2 (Li et al. 2020, arXiv:1812.06127, equation 2)."""

    def __init__(self, mu: float) -> None:
        self.mu = mu

    def begin(self, model: torch.nn.Module, request: Parcel) -> Correction:
        """As above; the correction is the gradient of the proximal term, mu * (w - common w)."""
        super().begin(model, request)
        return proximal([each.detach().clone() for each in trainable(model)], self.mu)


def proximal(common: Sequence[torch.Tensor], mu: float) -> Correction:
    """The gradient of mu / 2 * |w - common|^2."""
    return lambda parameters: [mu * (own - other) for own, other in zip(parameters, common, strict=True)]

"""The multi-task network: one trunk over genes and clinical columns, one output a drug, linear in the trunk's."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.config import NetworkConfig


class ResponseNetwork(nn.Module):
    """Predicts standardized responses, so that a zero output is the drug's training mean.

    There is no normalization layer: inputs are standardized, rows stay independent of each other, and a network that
    starts out nearly linear does best where samples are fewer than genes.

    Where there is a `ridge` it has half a say in predictions, and no part in the loss. With `terms` (drugs, terms),
    what drugs have in common is learned beside what is a drug's own.
    """

    def __init__(
        self,
        inputs: int,
        drugs: int,
        config: NetworkConfig,
        ridge: "FrozenRidge | None" = None,
        terms: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.ridge = ridge
        self.members = nn.ModuleList(_member(inputs, drugs, config, terms) for _ in range(config.members))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Standardized responses (members, rows, drugs) of standardized inputs (rows, inputs)."""
        return torch.stack([member(inputs) for member in self.members])

    def predict(self, inputs: torch.Tensor) -> torch.Tensor:
        """The prediction (rows, drugs), standardized: the mean of the members, and of that and the ridge."""
        network: torch.Tensor = self(inputs).mean(dim=0)
        return network if self.ridge is None else (network + self.ridge(inputs)) / 2


class FrozenRidge(nn.Module):
    """Standardized responses, linear in a few components of the inputs. It is of the plan: nothing here is trained."""

    centre: torch.Tensor
    axes: torch.Tensor
    weights: torch.Tensor
    intercept: torch.Tensor

    def __init__(self, plan: Mapping[str, Any]) -> None:
        super().__init__()
        for part in ("axes", "ridge"):
            for name, values in plan[part].items():
                buffer = torch.tensor(from_text(values), dtype=torch.float64)
                self.register_buffer(name, buffer.contiguous())  # ranks broadcast no other layout

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Responses (rows, drugs) of standardized inputs (rows, inputs)."""
        return (inputs - self.centre) @ self.axes @ self.weights + self.intercept


class _DescribedHead(nn.Module):
    """An output a drug: of its own weights, and of those of its terms, which all drugs share.

    A drug that no training sample was tested with has its terms' and, of its own, the little that they began with, less
    what weight decay takes.
    """

    terms: torch.Tensor

    def __init__(self, own: nn.Linear, terms: np.ndarray) -> None:
        super().__init__()
        self.own = own
        self.shared = nn.Linear(own.in_features, terms.shape[1], bias=False)
        nn.init.normal_(self.shared.weight, std=0.1 / own.in_features**0.5)
        self.register_buffer("terms", torch.tensor(terms))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Responses (rows, drugs) of the hidden layer (rows, width)."""
        own: torch.Tensor = self.own(hidden)
        return own + self.shared(hidden) @ self.terms.T


def _member(inputs: int, drugs: int, config: NetworkConfig, terms: np.ndarray | None) -> nn.Module:
    layers: list[nn.Module] = [nn.Dropout(config.input_dropout)]
    for width in [inputs] + [config.width] * (config.depth - 1):
        layers += [nn.Linear(width, config.width), nn.GELU(), nn.Dropout(config.dropout)]
    head = nn.Linear(config.width, drugs)
    nn.init.normal_(head.weight, std=0.1 / config.width**0.5)
    nn.init.zeros_(head.bias)
    return nn.Sequential(*layers, head if terms is None else _DescribedHead(head, terms))

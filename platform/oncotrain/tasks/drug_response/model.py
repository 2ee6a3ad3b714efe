"""The multi-task network: one trunk over genes and clinical columns, one linear output a drug."""

import torch
from torch import nn

from oncotrain.tasks.drug_response.config import NetworkConfig


class ResponseNetwork(nn.Module):
    """Predicts standardized responses, so that a zero output is the drug's training mean.

    There is no normalization layer: inputs are standardized, rows stay independent of each other, and a network that
    starts out nearly linear does best where samples are fewer than genes.
    """

    def __init__(self, inputs: int, drugs: int, config: NetworkConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(_member(inputs, drugs, config) for _ in range(config.members))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Standardized responses (members, rows, drugs) of standardized inputs (rows, inputs)."""
        return torch.stack([member(inputs) for member in self.members])


def _member(inputs: int, drugs: int, config: NetworkConfig) -> nn.Module:
    layers: list[nn.Module] = [nn.Dropout(config.input_dropout)]
    for width in [inputs] + [config.width] * (config.depth - 1):
        layers += [nn.Linear(width, config.width), nn.GELU(), nn.Dropout(config.dropout)]
    head = nn.Linear(config.width, drugs)
    nn.init.normal_(head.weight, std=0.1 / config.width**0.5)
    nn.init.zeros_(head.bias)
    return nn.Sequential(*layers, head)

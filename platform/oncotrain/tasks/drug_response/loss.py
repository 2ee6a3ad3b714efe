"""The training loss over observed (sample, drug) pairs."""

import torch


def squared_error(
    predicted: torch.Tensor, response: torch.Tensor, observed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error summed over observed pairs, averaged over members; and the number of observed pairs.

    Args:
        predicted: (members, rows, drugs), standardized responses.
        response: (rows, drugs), standardized; any finite value where not observed.
        observed: (rows, drugs) bool.
    """
    errors = (predicted - response).square().mean(dim=0)
    return (errors * observed).sum(), observed.sum()

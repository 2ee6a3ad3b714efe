"""The loss of an image, summed over images: exact for any partition of a batch."""

import torch
from torch.nn import functional as F

from oncotrain.tasks.histology.config import LossWeights
from oncotrain.tasks.histology.model import MAPS


def image_losses(
    logits: torch.Tensor, batch: dict[str, torch.Tensor], weights: LossWeights
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum over the labelled images, number of labelled images), scalars.

    An image's loss is the weighted sum of: binary cross-entropy and Dice loss (Milletari et al., 3DV 2016) of
    foreground and of boundary; binary cross-entropy of the distance, which flat sigmoids do not slow down as they do
    squared error; cross-entropy of the class. Each is a mean over the image's own pixels whose label is known; a term
    without such pixels is 0, an image without any is not counted.

    Args:
        logits: (n, 3 + classes, height, width).
        batch: `maps` (n, 3, height, width); `known` (n, height, width) 1 where instances are labelled; `classes`
            (n, height, width) int64, the class's number, 0 where there is none or it is not known.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    maps, known, classes = batch["maps"], batch["known"], batch["classes"]
    foreground, boundary, distance = logits[:, :MAPS].unbind(1)
    losses = (
        weights.foreground * _overlap_loss(foreground, maps[:, 0], known)
        + weights.boundary * _overlap_loss(boundary, maps[:, 1], known)
        + weights.distance * _cross_entropy(distance, maps[:, 2], known)
    )
    classified = (classes > 0).to(logits.dtype)
    if classified.any():
        entropy = F.cross_entropy(logits[:, MAPS:], (classes - 1).clamp(min=0), reduction="none")
        losses = losses + weights.classes * _masked_mean(entropy, classified)
    labelled = (known + classified).flatten(1).amax(1) > 0
    return losses.sum(), labelled.sum()


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean per image over the mask's pixels, 0 where it has none."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _masked_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), mask)


def _overlap_loss(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    entropy = _cross_entropy(logits, target, mask)
    probability, target = logits.sigmoid() * mask, target * mask
    both = (probability * target).sum((1, 2))
    dice = (2 * both + 1) / (probability.sum((1, 2)) + target.sum((1, 2)) + 1)
    return entropy + 1 - dice

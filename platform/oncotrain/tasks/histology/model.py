"""The network: a small U-Net that works at half the resolution and below, and answers at full resolution."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MAPS = 3
"""Foreground, boundary, distance; class maps follow."""


def _block(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=(size - stride) // 2, bias=False),
        nn.GroupNorm(outputs // 8, outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


class NucleusNet(nn.Module):
    """Ronneberger et al., MICCAI 2015, with skip connections added instead of concatenated.

    The first layer halves the resolution and the last one, which writes blocks of 2 x 2 pixels, restores it: a quarter
    of the cost of a network at full resolution. Layers that halve see an even number of pixels, so that positions do
    not shift. Rectifiers leak: with few channels, plain ones die together and leave nuclei without structure.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([_block(3, widths[0], size=4, stride=2)])
        for inputs, outputs in pairwise(widths):
            self.encoder.append(nn.Sequential(_block(inputs, outputs, size=2, stride=2), _block(outputs, outputs)))
        self.lateral = nn.ModuleList(nn.Conv2d(width, lower, 1) for lower, width in pairwise(widths))
        self.decoder = nn.ModuleList(_block(width, width) for width in widths[:-1])
        self.head = nn.ConvTranspose2d(widths[0], MAPS + classes, 2, stride=2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of the maps and classes (n, 3 + classes, height, width) from normalized pixels (n, 3, height, width).

        Any size is taken: the far edges are repeated up to the multiple that the levels need.
        """
        height, width = pixels.shape[-2:]
        multiple = 2 ** len(self.encoder)
        features = F.pad(pixels, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        levels = []
        for encode in self.encoder:
            features = encode(features)
            levels.append(features)
        for level in reversed(range(len(self.decoder))):
            raised = F.interpolate(self.lateral[level](features), scale_factor=2.0, mode="nearest")
            features = self.decoder[level](levels[level] + raised)
        return self.head(features)[..., :height, :width]


def mean_over_views(model: nn.Module, pixels: torch.Tensor, views: int) -> np.ndarray:
    """Probabilities (3 + classes, height, width) float32 of normalized pixels (3, height, width).

    The mean over the first `views` of the eight ways to turn and mirror the image: the first four are turns.
    """
    total = torch.zeros(())
    for view in range(views):
        seen = pixels.rot90(view % 4, (1, 2))
        logits = model((seen.flip(2) if view >= 4 else seen)[None])[0].float()
        maps = torch.cat([logits[:MAPS].sigmoid(), logits[MAPS:].softmax(0)])
        total = total + (maps.flip(2) if view >= 4 else maps).rot90(-(view % 4), (1, 2))
    return (total / views).detach().cpu().numpy()

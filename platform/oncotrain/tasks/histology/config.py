"""Settings of the histology task: the keys beside `name` under `task` in a run's YAML."""

from typing import Literal, Self

from pydantic import Field, model_validator

from oncotrain.config import Frozen


class LossWeights(Frozen):
    """Weights of the terms of an image's loss."""

    foreground: float = Field(default=1.0, ge=0)
    boundary: float = Field(default=0.5, ge=0)
    distance: float = Field(default=2.0, ge=0)
    classes: float = Field(default=0.5, ge=0)


class Augmentation(Frozen):
    """Strengths; 0 turns one off. Every draw comes from the row's own generator."""

    scale: float = Field(default=0.3, ge=0, le=1)
    """Largest |ln| of the zoom factor."""
    stain: float = Field(default=0.25, ge=0, lt=1)
    """Half width of the factor on the density of each stain (haematoxylin, eosin, residual)."""
    offset: float = Field(default=0.03, ge=0, lt=1)
    """Half width of the optical density added to each stain, over all the crop."""
    grey: float = Field(default=0.05, ge=0, le=1)
    """Probability of dropping the colour."""
    blur: float = Field(default=0.3, ge=0, le=1)
    """Probability of a Gaussian blur of 0.3 to 1.2 pixels."""
    noise: float = Field(default=0.03, ge=0)
    """Largest standard deviation of pixel noise, in units of the full range; drawn for every second crop."""


class DecisionGrid(Frozen):
    """Candidate post-processings; all combinations are tried on validation patients."""

    foreground: tuple[float, ...] = Field(default=(0.4, 0.5, 0.6), min_length=1)
    """Probability above which a pixel is nucleus."""
    marker: tuple[float, ...] = Field(default=(0.2, 0.3, 0.4), min_length=1)
    """Energy (normalized distance less half the boundary's probability) above which a pixel is a nucleus' core."""
    smallest: tuple[float, ...] = Field(default=(0.15,), min_length=1)
    """Area under which an object is dropped, relative to the mean nucleus of the training data."""


class HistologyConfig(Frozen):
    """Settings of the histology task."""

    widths: tuple[int, ...] = Field(default=(24, 48, 72, 96), min_length=2)
    """Channels of the network at 1/2, 1/4, ... of the pixels' resolution; multiples of 8."""
    crop: int = Field(default=256, ge=32)
    """Side of a training crop in pixels."""
    crops_per_tile: int = Field(default=1, ge=1)
    """Crops cut from each tile that is read; each counts as an image in the loss."""
    window: int = Field(default=1024, ge=64)
    """Side of the largest piece that is predicted in one pass; larger images are predicted in overlapping pieces."""
    halo: int = Field(default=64, ge=0)
    """Margin of a piece, in pixels, whose prediction is thrown away where a neighbour has seen more context."""
    views: int = Field(default=4, ge=1, le=8)
    """Predictions that are averaged: of the image, turned by quarters, then mirrored as well."""
    stain: Literal["as_scanned", "macenko"] = "as_scanned"
    """`macenko`: each tile's pixels are put into one reference stain by the vectors that ingest recorded of it, when
    read, for training and prediction alike. Tiles whose stains could not be told stay as they are."""
    loss: LossWeights = LossWeights()
    augmentation: Augmentation = Augmentation()
    decisions: DecisionGrid = DecisionGrid()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(width % 8 for width in self.widths):
            raise ValueError(f"widths must be multiples of 8; found {list(self.widths)}")
        if 2 * self.halo >= self.window:
            raise ValueError(f"halo must be less than half the window of {self.window}; found {self.halo}")
        return self

"""Settings of slide ingest: what a tile is, which slides are taken, how the hospital's tables and classes are named."""

from typing import Literal

from pydantic import Field, model_validator

from oncotrain.config.load import Frozen

Column = Literal[
    "slide", "patient", "id", "mpp", "reader", "annotations", "mask", "class_map", "cohort", "part", "site"
]


class SlidesConfig(Frozen):
    """`jobs/configs/ingest_slides.yaml`.

    Every dataset that is trained together needs the same `spacing`, `tile` and `classes`.
    """

    spacing: float = Field(gt=0.05, lt=20)
    """µm per pixel of the tiles; every slide is resampled to it from its best pyramid level."""
    tile: int = Field(ge=32, le=4096)
    """Side of a tile in pixels at `spacing`."""
    min_tissue: float = Field(default=0.1, ge=0, le=1)
    """Tiles with less tissue are left out, unless they hold an annotated nucleus; 0 keeps every tile."""
    classes: tuple[str, ...] = Field(max_length=255)
    """Names of the nucleus classes 1, 2, ... in order; class maps use these numbers."""
    class_names: dict[str, str | None] = Field(default={})
    """How annotation files call them: name in the file -> one of `classes`, or null to leave such objects out."""
    annotated_area: str = "Region*"
    """Objects of this class bound the annotated area; a file without any is annotated all over the slide."""
    missing_spacing: dict[str, float] = Field(default={})
    """Scanner vendor as OpenSlide names it, or `dicom`, `ome-tiff`, `tiff`, `image` -> µm per pixel, used where neither
    the manifest nor the slide states it. A slide whose spacing stays unknown is refused."""
    override_spacing: dict[str, float] = Field(default={})
    """Scanner vendor as above -> µm per pixel, used in place of what its slides state."""
    columns: dict[Column, str] = Field(default={})
    """Manifest column as this job calls it -> as the CSV calls it, where the two differ."""

    @model_validator(mode="after")
    def _class_names_lead_to_classes(self) -> "SlidesConfig":
        for name, target in self.class_names.items():
            if target is not None and target not in self.classes:
                raise ValueError(f"class_names.{name} is {target!r}; allowed: {', '.join(self.classes)}, null")
        return self

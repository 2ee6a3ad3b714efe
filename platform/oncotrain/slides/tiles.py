"""Rows of kind `tiles`: the schema, and the rows of one slide."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from petastorm.unischema import Unischema

from oncotrain.config.slides import SlidesConfig
from oncotrain.lake.schema import image, scalar, vector
from oncotrain.slides.grid import Tile, grid
from oncotrain.slides.labels import Annotations
from oncotrain.slides.slide import Slide
from oncotrain.slides.tissue import SPACING, tissue_fraction, tissue_mask


def tile_schema(side: int) -> Unischema:
    """Columns of kind `tiles` for tiles of `side` pixels. Rows are ordered by patient, slide, region, y, x.

    `site`; `cohort` and `part` ('train', 'test', '') as the manifest says; `patient`, `slide` pseudonyms; `x`, `y` of
    the upper-left corner in pixels of `spacing` (µm per pixel) within `region`; `pixels` RGB, white outside the slide;
    `instances`, `classes`, `labelled` as in `oncotrain.slides.labels.Labels`; `valid` 1 where the slide was scanned;
    `tissue` share of the tile's area inside the slide; `nuclei` annotated objects that count in this tile, so that the
    sum over a slide's tiles is their number; `cut` ids of those that reach beyond the tile's edge. Arrays are padded
    with 0 (`pixels`: 255) at the far edges.
    """
    plane = (side, side)
    return Unischema(
        "tiles",
        [
            *(scalar(name, str) for name in ("site", "patient", "cohort", "part", "slide")),
            scalar("region", np.int32),
            scalar("x", np.int64),
            scalar("y", np.int64),
            scalar("spacing", np.float32),
            scalar("tissue", np.float32),
            scalar("nuclei", np.int32),
            vector("cut", np.int32),
            image("pixels", np.uint8, (*plane, 3)),
            image("instances", np.int32, plane),
            image("classes", np.uint8, plane),
            image("valid", np.uint8, plane),
            image("labelled", np.uint8, plane),
        ],
    )


def features(config: SlidesConfig) -> dict[str, Any]:
    """What datasets must share to be trained on together."""
    return {"kind": "tiles", "spacing": config.spacing, "tile": config.tile, "classes": list(config.classes)}


def select_tiles(slide: Slide, annotations: Annotations, config: SlidesConfig) -> list[tuple[Tile, float]]:
    """The tiles to store and their tissue fractions, from a thumbnail alone; in storage order."""
    mask = tissue_mask(slide.thumbnail(SPACING))
    candidates = (
        (tile, tissue_fraction(mask, tile, config.spacing))
        for tile in grid(*slide.dimensions_at(config.spacing), config.tile)
    )
    return [(tile, tissue) for tile, tissue in candidates if tissue >= config.min_tissue or annotations.touches(tile)]


def tile_rows(
    slide: Slide,
    annotations: Annotations,
    tiles: list[tuple[Tile, float]],
    config: SlidesConfig,
    keys: Mapping[str, str | int],
) -> Iterator[dict[str, Any]]:
    """Rows of one slide, read one by one; `keys` are the columns that all of them share."""
    for tile, tissue in tiles:
        region = slide.region(*tile, config.spacing)
        labels, objects = annotations.labels(tile), annotations.objects(tile)
        yield {
            **keys,
            "x": tile.x,
            "y": tile.y,
            "spacing": config.spacing,
            "tissue": tissue,
            "nuclei": objects.counted,
            "cut": objects.cut,
            "pixels": _pad(region.pixels, config.tile, 255),
            "instances": _pad(labels.instances, config.tile),
            "classes": _pad(labels.classes, config.tile),
            "valid": _pad(region.valid.astype(np.uint8), config.tile),
            "labelled": _pad(labels.labelled, config.tile),
        }


def _pad(raster: np.ndarray, side: int, value: int = 0) -> np.ndarray:
    height, width = raster.shape[:2]
    if (height, width) == (side, side):
        return raster
    padded = np.full((side, side, *raster.shape[2:]), value, raster.dtype)
    padded[:height, :width] = raster
    return padded

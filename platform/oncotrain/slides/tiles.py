"""Rows of kind `tiles`: the schema, and the rows of one slide."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from petastorm.unischema import Unischema

from oncotrain.config.slides import SlidesConfig
from oncotrain.lake.schema import image, scalar, vector
from oncotrain.slides.labels import Annotations
from oncotrain.slides.quality import focus, is_blank
from oncotrain.slides.slide import Slide
from oncotrain.slides.stain import MIXED, UNSTAINED, find_stains
from oncotrain.slides.survey import Spot


def tile_schema(side: int) -> Unischema:
    """Columns of kind `tiles` for tiles of `side` pixels. Rows are ordered by patient, slide, region, y, x.

    `site`; `cohort` and `part` ('train', 'test', '') as the manifest says; `patient`, `slide` pseudonyms; `x`, `y` of
    the upper-left corner in pixels of `spacing` (µm per pixel) within `region`; `pixels` RGB, white outside the slide;
    `instances`, `classes`, `labelled` as in `oncotrain.slides.labels.Labels`; `valid` 1 where the slide was scanned;
    `tissue`, `pen`, `fold` shares of the tile's area inside the slide, from the thumbnail; `focus`, `blank` (0 or 1) as
    in `oncotrain.slides.quality`; `stain` as in `oncotrain.slides.stain.Stains`, NaN where it cannot be told; `nuclei`
    annotated objects that count in this tile, so that the
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
            *(scalar(name, np.float32) for name in ("tissue", "pen", "fold", "focus")),
            scalar("blank", np.uint8),
            vector("stain", np.float32, MIXED),
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


def tile_rows(
    slide: Slide,
    annotations: Annotations,
    spots: Iterable[Spot],
    config: SlidesConfig,
    keys: Mapping[str, str | int],
) -> Iterator[dict[str, Any]]:
    """Rows of one slide, read one by one; `keys` are the columns that all of them share.

    Planes of one value, which most tiles have, are encoded once: bytes in place of the array.
    """
    schema, encoded = tile_schema(config.tile), dict[tuple[str, int], bytes]()

    def plane(name: str, raster: np.ndarray) -> np.ndarray | bytes:
        padded = _pad(raster, config.tile)
        value = int(padded[0, 0])
        if (padded != value).any():
            return padded
        if (name, value) not in encoded:
            encoded[name, value] = bytes(schema.fields[name].codec.encode(schema.fields[name], padded))
        return encoded[name, value]

    for spot in spots:
        region = slide.region(*spot.tile, config.spacing)
        labels, objects = annotations.labels(spot.tile), annotations.objects(spot.tile)
        stains = find_stains(region.pixels)
        yield {
            **keys,
            "x": spot.x,
            "y": spot.y,
            "spacing": config.spacing,
            "tissue": spot.tissue,
            "pen": spot.pen,
            "fold": spot.fold,
            "focus": focus(region.pixels),
            "blank": is_blank(region.pixels),
            "stain": UNSTAINED if stains is None else stains.flat(),
            "nuclei": objects.counted,
            "cut": objects.cut,
            "pixels": _pad(region.pixels, config.tile, 255),
            "instances": plane("instances", labels.instances),
            "classes": plane("classes", labels.classes),
            "valid": plane("valid", region.valid.view(np.uint8)),
            "labelled": plane("labelled", labels.labelled),
        }


def _pad(raster: np.ndarray, side: int, value: int = 0) -> np.ndarray:
    height, width = raster.shape[:2]
    if (height, width) == (side, side):
        return raster
    padded = np.full((side, side, *raster.shape[2:]), value, raster.dtype)
    padded[:height, :width] = raster
    return padded

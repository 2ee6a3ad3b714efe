"""Annotations as QuPath exports them: GeoJSON features with a classification, in pixels of level 0.

Format: RFC 7946 geometry; `properties.classification.name` as in QuPath's documentation ("Exporting annotations").
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from shapely import STRtree, box
from shapely.affinity import scale
from shapely.errors import ShapelyError
from shapely.geometry import LinearRing, MultiPolygon, Polygon, shape
from skimage.draw import polygon as polygon_pixels

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.slides.grid import Tile
from oncotrain.slides.labels import Labels, known
from oncotrain.slides.slide import Slide

Shape: TypeAlias = Polygon | MultiPolygon


class PolygonAnnotations:
    """Objects get the ids 1, 2, ... in file order; where two overlap, the later one is on top.

    A pixel belongs to an object if its centre does. Objects without a classification are nuclei of unknown class.
    """

    def __init__(self, path: Path, slide: Slide, config: SlidesConfig) -> None:
        """Raises DataError if the file is not GeoJSON, or a feature is no polygon or of a class not provided for."""
        self._shapes: list[Shape] = []
        self._classes: list[int] = []
        areas: list[Shape] = []
        factors = (slide.mpp[0] / config.spacing, slide.mpp[1] / config.spacing)
        for number, feature in enumerate(_features(path), start=1):
            name, outline = _class_name(feature, number), _outline(feature, number, factors)
            if name == config.annotated_area:
                areas.append(outline)
                continue
            target = _target(name, config, number)
            if target is not None:
                self._shapes.append(outline)
                self._classes.append(target)
        self._tree = STRtree(self._shapes)
        self._areas = areas
        self._has_classes = bool(config.classes)

    def labels(self, tile: Tile) -> Labels:
        """See `Annotations.labels`."""
        instances = np.zeros((tile.height, tile.width), np.int32)
        classes = np.zeros(instances.shape, np.uint8)
        for index in sorted(self._near(tile)):
            pixels = _pixels(self._shapes[index], tile)
            instances[pixels] = index + 1
            classes[pixels] = self._classes[index]
        labelled = known(instances, classes, has_classes=self._has_classes)
        if self._areas:
            inside = np.zeros(instances.shape, bool)
            for area in self._areas:
                inside[_pixels(area, tile)] = True
            labelled[~inside] = 0
        return Labels(instances, classes, labelled)

    def touches(self, tile: Tile) -> bool:
        """Whether the bounds of a nucleus meet the tile."""
        return bool(self._near(tile).size)

    def _near(self, tile: Tile) -> np.ndarray:
        return self._tree.query(box(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height))


def _features(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        data = path.read_bytes()
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, EOFError, OSError):
        raise DataError("annotations are not a GeoJSON file") from None
    features = document.get("features") if isinstance(document, dict) else document
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise DataError("annotations are not a GeoJSON FeatureCollection")
    yield from features


def _class_name(feature: Mapping[str, Any], number: int) -> str | None:
    classification = (feature.get("properties") or {}).get("classification")
    if classification is None:
        return None
    name = classification.get("name") if isinstance(classification, dict) else None
    if not isinstance(name, str):
        raise DataError(f"annotations: the classification of feature {number} has no name")
    return name


def _outline(feature: Mapping[str, Any], number: int, factors: tuple[float, float]) -> Shape:
    try:
        outline = shape(feature.get("geometry"))
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise DataError(f"annotations: the geometry of feature {number} cannot be read") from None
    if not isinstance(outline, Shape) or outline.is_empty:
        kind = f"an empty {outline.geom_type}" if outline.is_empty else f"a {outline.geom_type}"
        raise DataError(f"annotations: feature {number} is {kind}; allowed: Polygon, MultiPolygon")
    if not all(map(isfinite, outline.bounds)):
        raise DataError(f"annotations: feature {number} has a coordinate that is not a finite number")
    return scale(outline, *factors, origin=(0, 0))


def _target(name: str | None, config: SlidesConfig, number: int) -> int | None:
    """1 + position among `config.classes`, 0 for an object without a class, None for one to leave out."""
    if name is None:
        return 0
    target = config.class_names.get(name, name)
    if target is None:
        return None
    if target not in config.classes:
        allowed = ", ".join([*config.classes, *config.class_names, config.annotated_area])
        raise DataError(f"annotations: feature {number} is of class '{name}'; the configuration knows: {allowed}")
    return config.classes.index(target) + 1


def _pixels(outline: Shape, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, from the tile's corner, of its pixels whose centre lies in `outline`.

    Only where the outline's bounds and the tile meet is looked at: an outline may be larger than memory.
    """
    west, south, east, north = outline.bounds
    left, right = max(floor(west), tile.x), min(ceil(east), tile.x + tile.width)
    top, bottom = max(floor(south), tile.y), min(ceil(north), tile.y + tile.height)
    inside = np.zeros((max(bottom - top, 0), max(right - left, 0)), bool)
    for part in getattr(outline, "geoms", [outline]):
        filled = _ring(part.exterior, left, top, inside.shape)
        for hole in part.interiors:
            filled &= ~_ring(hole, left, top, inside.shape)
        inside |= filled
    rows, columns = np.nonzero(inside)
    return rows + top - tile.y, columns + left - tile.x


def _ring(ring: LinearRing, left: int, top: int, size: tuple[int, ...]) -> np.ndarray:
    corners = np.asarray(ring.coords)[:, :2]
    filled = np.zeros(size, bool)
    filled[polygon_pixels(corners[:, 1] - (top + 0.5), corners[:, 0] - (left + 0.5), size)] = True
    return filled

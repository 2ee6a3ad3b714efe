"""Annotations as outlines: QuPath's GeoJSON or ImageScope's XML, drawn into tiles."""

from math import ceil, floor, isfinite
from pathlib import Path

import numpy as np
from shapely import STRtree, box
from shapely.affinity import scale
from shapely.geometry import LinearRing
from skimage.draw import polygon as polygon_pixels

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.slides.geojson import read_geojson
from oncotrain.slides.grid import Tile
from oncotrain.slides.imagescope import read_imagescope
from oncotrain.slides.labels import Extents, Labels, Objects, known
from oncotrain.slides.outline import Shape
from oncotrain.slides.slide import Slide


class PolygonAnnotations:
    """Objects get the ids 1, 2, ... in file order; where two overlap, the later one is on top.

    A pixel belongs to an object if its centre does. Objects without a classification are nuclei of unknown class.
    """

    def __init__(self, path: Path, slide: Slide, config: SlidesConfig) -> None:
        """Raises DataError for a file of neither kind, an object that is no polygon or of a class not provided for."""
        self._shapes: list[Shape] = []
        self._classes: list[int] = []
        areas: list[Shape] = []
        factors = (slide.mpp[0] / config.spacing, slide.mpp[1] / config.spacing)
        data = path.read_bytes()
        read = read_imagescope if data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") else read_geojson
        for number, (name, shape) in enumerate(read(data), start=1):
            if not all(map(isfinite, shape.bounds)):
                raise DataError(f"annotations: feature {number} has a coordinate that is not a finite number")
            outline = scale(shape, *factors, origin=(0, 0))
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
        self._extents = _extents(self._shapes, slide.dimensions_at(config.spacing))

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

    def objects(self, tile: Tile) -> Objects:
        """See `Annotations.objects`: an object lies where the middle of its bounds within the slide does."""
        return self._extents.take(np.sort(self._near(tile))).objects(tile)

    def _near(self, tile: Tile) -> np.ndarray:
        return self._tree.query(box(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height))


def _extents(shapes: list[Shape], size: tuple[int, int]) -> Extents:
    bounds = np.array([shape.bounds for shape in shapes], float).reshape(-1, 4)
    low, high = np.clip(bounds[:, :2], 0, size), np.clip(bounds[:, 2:], 0, size)
    anchors = (low + high) / 2
    anchors[(low >= high).any(axis=1)] = np.nan
    return Extents(np.arange(1, len(shapes) + 1, dtype=np.int32), bounds, anchors)


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

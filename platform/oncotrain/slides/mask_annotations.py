"""Annotations as images: an instance mask of the slide's size and, where classes are known, a class map."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from oncotrain.errors import DataError
from oncotrain.slides.grid import Tile
from oncotrain.slides.image_reader import load_image
from oncotrain.slides.labels import Extents, Labels, Objects, known
from oncotrain.slides.slide import Slide

INTEGER_MODES = ("1", "L", "P", "I", "I;16")


class MaskAnnotations:
    """Ids are the mask's values; pixels between those of the mask and the dataset's spacing take the nearest one."""

    def __init__(self, mask: Path, class_map: Path | None, slide: Slide, spacing: float, classes: int) -> None:
        """Raises DataError if an image is damaged, of another size than the slide, or not of integers; or a class
        is not one of 1..`classes`."""
        self._instances = _at_spacing(_integers(mask, "mask", slide.dimensions), slide, spacing).astype(np.int32)
        self._extents = _extents(self._instances)
        self._has_classes = class_map is not None
        self._classes = np.zeros(self._instances.shape, np.uint8)
        if class_map is not None:
            values = _integers(class_map, "class map", slide.dimensions)
            if values.max() > classes:
                raise DataError(f"class map holds class {values.max()}; the configuration names {classes}")
            self._classes = _at_spacing(values, slide, spacing).astype(np.uint8)

    def labels(self, tile: Tile) -> Labels:
        """See `Annotations.labels`."""
        instances, classes = self._cut(self._instances, tile), self._cut(self._classes, tile)
        return Labels(instances, classes, known(instances, classes, has_classes=self._has_classes))

    def objects(self, tile: Tile) -> Objects:
        """See `Annotations.objects`: an object lies where its first pixel does, row by row."""
        return self._extents.objects(tile)

    def touches(self, tile: Tile) -> bool:
        """Whether a nucleus has a pixel in the tile."""
        return bool(self._cut(self._instances, tile).any())

    @staticmethod
    def _cut(raster: np.ndarray, tile: Tile) -> np.ndarray:
        return raster[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]


def _integers(path: Path, what: str, dimensions: tuple[int, int]) -> np.ndarray:
    try:
        image = load_image(path)
    except DataError as error:
        raise DataError(f"{what} {error}") from None
    if image.mode not in INTEGER_MODES:
        raise DataError(f"{what} has colour mode {image.mode}; allowed: {', '.join(INTEGER_MODES)}")
    if image.size != dimensions:
        raise DataError(f"{what} is {image.width} x {image.height} px, the slide {dimensions[0]} x {dimensions[1]}")
    return np.asarray(image)


def _at_spacing(raster: np.ndarray, slide: Slide, spacing: float) -> np.ndarray:
    width, height = slide.dimensions_at(spacing)
    columns = ((np.arange(width) + 0.5) * spacing / slide.mpp[0]).astype(int)
    rows = ((np.arange(height) + 0.5) * spacing / slide.mpp[1]).astype(int)
    return raster[rows][:, columns]


def _extents(instances: np.ndarray) -> Extents:
    ids, first, number = np.unique(instances, return_index=True, return_inverse=True)
    present = ids > 0
    boxes = ndimage.find_objects(number.reshape(instances.shape) + 1)
    bounds = np.array([(x.start, y.start, x.stop, y.stop) for y, x in boxes])[present].reshape(-1, 4)
    y, x = np.divmod(first[present], instances.shape[1])
    return Extents(ids[present].astype(np.int32), bounds, np.stack([x, y], axis=1))

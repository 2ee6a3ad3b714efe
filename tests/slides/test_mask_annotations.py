from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oncotrain.errors import DataError
from oncotrain.slides.grid import Tile, grid
from oncotrain.slides.image_reader import ImageReader
from oncotrain.slides.labels import CLASSES, INSTANCES
from oncotrain.slides.mask_annotations import MaskAnnotations
from oncotrain.slides.slide import Slide


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    Image.new("RGB", (40, 30), "pink").save(tmp_path / "slide.png")
    return Slide(ImageReader(tmp_path / "slide.png"), (0.25, 0.25))


def save(path: Path, raster: np.ndarray) -> Path:
    Image.fromarray(raster).save(path)
    return path


def test_ids_classes_and_what_is_known(tmp_path: Path, slide: Slide) -> None:
    instances, classes = np.zeros((30, 40), np.uint16), np.zeros((30, 40), np.uint8)
    instances[3:9, 4:12], instances[20:28, 30:39] = 700, 2
    classes[3:9, 4:12] = 3
    mask, class_map = save(tmp_path / "mask.png", instances), save(tmp_path / "classes.png", classes)

    labels = MaskAnnotations(mask, class_map, slide, 0.25, classes=4).labels(Tile(2, 1, 38, 29))
    np.testing.assert_array_equal(labels.instances, instances[1:, 2:])
    np.testing.assert_array_equal(labels.classes, classes[1:, 2:])
    without_class = labels.instances == 2
    assert (labels.labelled[without_class] == INSTANCES).all()
    assert (labels.labelled[~without_class] == INSTANCES | CLASSES).all()

    bare = MaskAnnotations(mask, None, slide, 0.25, classes=4)
    assert (bare.labels(Tile(0, 0, 40, 30)).labelled == INSTANCES).all()
    assert bare.touches(Tile(0, 0, 10, 10))
    assert not bare.touches(Tile(12, 0, 10, 10))


def test_another_spacing_takes_the_nearest_pixel(tmp_path: Path, slide: Slide) -> None:
    instances = np.zeros((30, 40), np.uint16)
    instances[10:20, 20:40] = 5
    annotations = MaskAnnotations(save(tmp_path / "mask.png", instances), None, slide, 0.5, classes=0)
    labels = annotations.labels(Tile(0, 0, *slide.dimensions_at(0.5)))
    np.testing.assert_array_equal(labels.instances, instances[::2, ::2])


def test_masks_that_do_not_fit_are_refused(tmp_path: Path, slide: Slide) -> None:
    good = save(tmp_path / "good.png", np.zeros((30, 40), np.uint16))
    small = save(tmp_path / "small.png", np.zeros((30, 39), np.uint16))
    colour = save(tmp_path / "colour.png", np.zeros((30, 40, 3), np.uint8))
    ninth = save(tmp_path / "ninth.png", np.full((30, 40), 9, np.uint8))
    text = tmp_path / "text.png"
    text.write_text("no image")
    for mask, class_map, reason in [
        (small, None, "mask is 39 x 30 px, the slide 40 x 30"),
        (good, small, "class map is 39 x 30 px"),
        (colour, None, "mask has colour mode RGB"),
        (good, ninth, "class map holds class 9; the configuration names 4"),
        (text, None, "mask is not an image"),
    ]:
        with pytest.raises(DataError, match=reason):
            MaskAnnotations(mask, class_map, slide, 0.25, classes=4)


def test_every_object_counts_once_and_those_that_an_edge_cuts_are_marked(tmp_path: Path, slide: Slide) -> None:
    instances = np.zeros((30, 40), np.uint16)
    instances[3:9, 18:24], instances[20:28, 30:39], instances[0, 0] = 60_000, 2, 5
    annotations = MaskAnnotations(save(tmp_path / "mask.png", instances), None, slide, 0.25, classes=0)
    found = {tile: annotations.objects(tile) for tile in grid(40, 30, 20)}
    assert [one.counted for one in found.values()] == [2, 0, 0, 1]
    assert [one.cut.tolist() for one in found.values()] == [[60_000], [60_000], [], []]

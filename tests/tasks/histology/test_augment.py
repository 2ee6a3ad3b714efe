"""Random crops: labels stay with their pixels, the generator decides everything."""

import numpy as np
import pytest

from oncotrain.tasks.histology.augment import Crop, random_crop, whole
from oncotrain.tasks.histology.config import Augmentation
from support.tiles import tile_row

SHAPE_ONLY = Augmentation(stain=0, offset=0, grey=0, blur=0, noise=0)


def test_a_crop_is_a_function_of_row_and_generator():
    row = tile_row(0)
    before = {name: row[name].copy() for name in Crop._fields}
    first = random_crop(row, 48, Augmentation(), np.random.default_rng(5))
    second = random_crop(row, 48, Augmentation(), np.random.default_rng(5))
    other = random_crop(row, 48, Augmentation(), np.random.default_rng(6))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.pixels, other.pixels)
    for name, raster in before.items():
        np.testing.assert_array_equal(row[name], raster)


@pytest.mark.parametrize("seed", range(8))
def test_labels_stay_with_their_pixels(seed):
    row = tile_row(seed, side=128, valid=(128, 100))
    row["pixels"] = np.repeat(np.where(row["instances"] > 0, 40, 220)[..., None], 3, 2).astype(np.uint8)
    crop = random_crop(row, 96, SHAPE_ONLY, np.random.default_rng(seed))
    inside = crop.valid > 0
    dark = crop.pixels.mean(-1) < 130 / 255
    agree = (dark == (crop.instances > 0))[inside]
    assert agree.mean() > 0.97  # all but outlines, where pixels are interpolated
    np.testing.assert_array_equal(crop.classes > 0, crop.instances > 0)
    np.testing.assert_array_equal(crop.labelled > 0, inside)
    assert set(np.unique(crop.instances)) <= set(np.unique(row["instances"]))


def test_a_crop_lies_in_the_valid_area_where_it_fits():
    row = tile_row(0, side=128, valid=(100, 90))
    for seed in range(30):
        crop = random_crop(row, 40, SHAPE_ONLY, np.random.default_rng(seed))
        assert crop.valid.mean() > 0.99


def test_a_crop_larger_than_the_valid_area_is_padded_with_unlabelled():
    crop = random_crop(tile_row(0, valid=(20, 20)), 48, SHAPE_ONLY, np.random.default_rng(0))
    assert 0.05 < crop.valid.mean() < 0.5
    assert not crop.labelled[crop.valid == 0].any()


def test_colours_change_little_without_strength_and_more_with():
    row = tile_row(0)
    same = random_crop(row, 48, SHAPE_ONLY, np.random.default_rng(1))
    jittered = random_crop(row, 48, Augmentation(grey=0, blur=0, noise=0), np.random.default_rng(1))
    np.testing.assert_array_equal(same.instances, jittered.instances)
    assert 0.005 < np.abs(same.pixels - jittered.pixels).mean() < 0.3


def test_grey_has_one_value_in_all_channels():
    crop = random_crop(tile_row(0), 48, Augmentation(grey=1, offset=0, noise=0), np.random.default_rng(1))
    assert np.ptp(crop.pixels, axis=-1).max() < 1e-5


def test_whole_keeps_everything():
    row = tile_row(0)
    crop = whole(row)
    np.testing.assert_allclose(crop.pixels * 255, row["pixels"], rtol=1e-6)
    np.testing.assert_array_equal(crop.instances, row["instances"])

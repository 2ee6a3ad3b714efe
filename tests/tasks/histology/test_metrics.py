"""Sums of images: what is not labelled does not count, merging is exact, figures follow."""

import math
from typing import Any

import cellseg_metrics
import numpy as np
import pytest
from skimage.segmentation import relabel_sequential
from sklearn.metrics import r2_score

from oncotrain.tasks.histology.metrics import image_figures, image_sums
from oncotrain.tasks.histology.moments import add_sums
from oncotrain.tasks.task import Sums
from support.tiles import CLASSES, tile_row


def guess(row: Any, shift: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A prediction: the truth, moved, with the true classes."""
    instances = relabel_sequential(np.roll(row["instances"], shift, 1))[0].astype(np.int32)
    moved = np.roll(row["classes"], shift, 1)
    ids = np.unique(instances[instances > 0])
    return instances, np.array([moved[instances == number].max() for number in ids], np.uint8)


def sums_of(row: Any, prediction: tuple[np.ndarray, np.ndarray] | None = None) -> Sums:
    return image_sums(row, *(prediction or guess(row)), CLASSES, 0.25)


def test_the_truth_is_perfect():
    row = tile_row(0)
    figures = image_figures(sums_of(row, guess(row, 0)))
    assert all(figures[name] == 1 for name in ("aji", "pq", "sq", "f1", "dice", "pq_epithelial", "pq_lymphocyte"))
    assert figures["count_error"] == figures["count_bias"] == figures["bias_epithelial"] == 0
    assert figures["per_mm2"] == pytest.approx(len(guess(row)[1]) / (64 * 0.00025) ** 2)


def test_figures_are_means_over_images_and_counts_over_all():
    rows = [tile_row(seed, nuclei=4 + seed) for seed in range(6)]
    guesses = [guess(row, 1 + number) for number, row in enumerate(rows)]
    guesses[0] = (np.where(guesses[0][0] == 1, 0, guesses[0][0]), guesses[0][1])
    figures = image_figures(add_sums([sums_of(row, each) for row, each in zip(rows, guesses, strict=True)]))
    pairs = [(row["instances"], each[0]) for row, each in zip(rows, guesses, strict=True)]
    panoptic = [cellseg_metrics.panoptic_quality(*pair)["pq"] for pair in pairs]
    assert figures["pq"] == pytest.approx(np.mean(panoptic), abs=1e-6)
    dice = [2 * ((a > 0) & (b > 0)).sum() / ((a > 0).sum() + (b > 0).sum()) for a, b in pairs]
    assert figures["dice"] == pytest.approx(np.mean(dice))
    true, count = ([len(np.unique(pair[side])) - 1 for pair in pairs] for side in (0, 1))
    assert figures["count_r2"] == pytest.approx(r2_score(true, count))
    assert figures["count_bias"] == pytest.approx(sum(count) / sum(true) - 1)


@pytest.mark.parametrize("mask", ["labelled", "valid"])
def test_what_is_not_labelled_is_excluded(mask):
    row, cut = tile_row(1), tile_row(1)
    instances, classes = guess(row)
    hidden = np.s_[:, 32:]
    cut[mask] = cut[mask].copy()
    cut[mask][hidden] = 0
    expected = sums_of(cut, (instances, classes))
    garbage = instances.copy()
    garbage[hidden] = 1
    truth = cut | {"instances": cut["instances"].copy(), "classes": cut["classes"].copy()}
    truth["instances"][hidden] = 77
    truth["classes"][hidden] = 1
    for name, value in sums_of(truth, (garbage, classes)).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert not np.array_equal(sums_of(row)["aji"], expected["aji"])


def test_nuclei_without_class_labels_count_as_nuclei_alone():
    row = tile_row(2)
    row["labelled"] = np.where(row["instances"] > 0, 1, 3).astype(np.uint8)
    sums = sums_of(row, guess(row, 0))
    assert sums["pq"][1] == 1
    assert not sums["class_epithelial"].any()


def test_a_wrong_class_is_a_miss_and_a_false_alarm():
    row = tile_row(3)
    instances, classes = guess(row, 0)
    figures = image_figures(sums_of(row, (instances, 3 - classes)))
    assert figures["pq"] == 1
    assert figures["pq_epithelial"] == figures["pq_lymphocyte"] == 0


def test_an_unlabelled_image_defines_no_figure():
    sums = sums_of(tile_row(0, labelled=0))
    assert not any(value.any() for value in sums.values())
    assert all(math.isnan(value) for value in image_figures(sums).values())


def test_a_dataset_without_classes_has_no_class_figures():
    row = tile_row(0, labelled=1)
    figures = image_figures(image_sums(row, guess(row)[0], np.zeros(0, np.uint8), [], 0.25))
    assert not [name for name in figures if name.startswith(("pq_", "bias_"))]


def test_merging_does_not_depend_on_grouping():
    parts = [sums_of(tile_row(seed, labelled=3 if seed % 2 else 1)) for seed in range(5)]
    left = add_sums([add_sums(parts[:2]), add_sums(parts[2:])])
    right = add_sums([parts[0], add_sums(parts[1:4]), parts[4]])
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-14, err_msg=name)

"""Figures of segmentation, classification and counting, as sums over images that merge exactly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.slides.labels import CLASSES, INSTANCES
from oncotrain.tasks.histology.ids import renumber
from oncotrain.tasks.histology.matching import aggregated_jaccard, detections, overlaps
from oncotrain.tasks.task import Sums

MEANS = ("aji", "pq", "sq", "f1", "dice", "count_error")
"""Figures that are means over images; each is stored as (sum, images where it is defined)."""

METRICS = (*MEANS, "count_r2", "count_bias", "per_mm2", "per_mm2_true", "pq_<class>", "bias_<class>")
"""Names of all figures."""

CLASS = "class_"
"""Prefix of the classes' sums."""


def image_sums(
    image: Mapping[str, Any], instances: np.ndarray, classes: np.ndarray, names: Sequence[str], spacing: float
) -> Sums:
    """Sums of one image.

    Pixels that are invalid or whose instances are not labelled are background in truth and prediction alike; for the
    classes' figures, so are pixels whose class is not known.

    Args:
        image: `instances`, `classes`, `valid`, `labelled` (height, width), as in a tile.
        instances: Predicted ids (height, width) int32, 1..n, 0 background.
        classes: Predicted class (n,) uint8, 1 + position in `names`; empty where there are no names.
        spacing: µm per pixel.
    """
    known = (image["labelled"] & INSTANCES > 0) & (image["valid"] > 0)
    values, true_count, count = _instance_values(image["instances"] * known, instances * known)
    sums = {name: np.nan_to_num([value, not math.isnan(value)]).astype(float) for name, value in values.items()}
    seen = float(known.any())
    error = count - true_count
    sums["counts"] = np.array([seen, true_count, true_count**2, count, error**2], float) * seen
    sums["mm2"] = np.array([known.sum() * (spacing / 1000) ** 2])
    classed = known & (image["labelled"] & CLASSES > 0)
    if not names:
        return sums
    return sums | _class_sums(image["instances"] * classed, image["classes"], instances * classed, classes, names)


def _instance_values(true: np.ndarray, predicted: np.ndarray) -> tuple[dict[str, float], int, int]:
    """Values of `MEANS`, NaN where undefined, and the numbers of true and predicted nuclei."""
    pairs = overlaps(true, predicted)
    found = detections(pairs)
    true_count, count = len(pairs.true_areas), len(pairs.areas)
    either = (true_count + count) / 2
    both = pairs.true_areas.sum() + pairs.areas.sum()
    covered = ((true > 0) & (predicted > 0)).sum()
    values = {
        "aji": aggregated_jaccard(pairs),
        "pq": _ratio(found.iou.sum(), either),
        "sq": _ratio(found.iou.sum(), len(found.iou)),
        "f1": _ratio(len(found.iou), either),
        "dice": _ratio(2 * covered, both),
        "count_error": _ratio(abs(count - true_count), true_count),
    }
    return values, true_count, count


def _class_sums(
    true: np.ndarray, true_classes: np.ndarray, predicted: np.ndarray, classes: np.ndarray, names: Sequence[str]
) -> Sums:
    """`class_<name>` (3,): true and predicted nuclei, summed IoU of matched pairs that are of this class in both."""
    pairs = overlaps(true, predicted)
    found = detections(pairs)
    ids, index = renumber(true)
    inside = index > 0
    width = len(names) + 1
    votes = np.bincount((index[inside] - 1) * width + true_classes[inside], minlength=len(ids) * width)
    true_class = votes.reshape(len(ids), width)[:, 1:].argmax(1)
    predicted_class = classes[renumber(predicted)[0] - 1] - 1
    sums = {}
    for number, name in enumerate(names):
        both = (true_class[found.true] == number) & (predicted_class[found.predicted] == number)
        counts = ((true_class == number).sum(), (predicted_class == number).sum())
        sums[f"{CLASS}{name}"] = np.array([*counts, found.iou[both].sum()], float)
    return sums


def image_figures(sums: Sums) -> dict[str, float]:
    """Means over images of `MEANS`; figures of the counts over all images; figures of each class over all nuclei.

    `f1` is at IoU above 0.5, which is PQ's detection quality. `count_r2` is 1 - residual / total sum of squares of the
    images' counts, `count_bias` the relative excess of all predicted nuclei. `pq_<class>` is PQ of that class's nuclei
    (Graham et al., CoNIC 2021), `bias_<class>` the relative excess of their number.
    """
    figures = {name: _ratio(*sums[name]) for name in MEANS}
    images, true, square, count, residual = sums["counts"]
    figures["count_r2"] = 1 - _ratio(residual, square - _ratio(true**2, images))
    figures["count_bias"] = _ratio(count, true) - 1
    figures["per_mm2"] = _ratio(count, sums["mm2"][0])
    figures["per_mm2_true"] = _ratio(true, sums["mm2"][0])
    for key in sums:
        if key.startswith(CLASS):
            true, count, iou = sums[key]
            name = key.removeprefix(CLASS)
            figures[f"pq_{name}"] = _ratio(iou, (true + count) / 2)
            figures[f"bias_{name}"] = _ratio(count, true) - 1
    return figures


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan

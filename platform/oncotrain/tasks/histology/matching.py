"""Overlaps between true and predicted nuclei, and the metrics of one image that follow from them."""

from typing import NamedTuple

import numpy as np

from oncotrain.tasks.histology.ids import renumber


class Overlaps(NamedTuple):
    """Areas in pixels of true (n,) and predicted (m,) nuclei; of each overlapping pair: its indices and area (k,)."""

    true_areas: np.ndarray
    areas: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    shared: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of the pairs (k,)."""
        return self.shared / (self.true_areas[self.true] + self.areas[self.predicted] - self.shared)


def overlaps(true: np.ndarray, predicted: np.ndarray) -> Overlaps:
    """From two rasters of ids of the same shape, 0 background; ids need not be consecutive."""
    true_ids, true = renumber(true)
    ids, predicted = renumber(predicted)
    both = (true > 0) & (predicted > 0)
    codes, shared = np.unique((true[both] - 1) * np.int64(len(ids)) + predicted[both] - 1, return_counts=True)
    return Overlaps(
        np.bincount(true.ravel(), minlength=len(true_ids) + 1)[1:],
        np.bincount(predicted.ravel(), minlength=len(ids) + 1)[1:],
        *np.divmod(codes, max(len(ids), 1)),
        shared,
    )


def aggregated_jaccard(pairs: Overlaps) -> float:
    """AJI (Kumar et al., IEEE TMI 36, 2017). NaN where neither raster has a nucleus.

    Each true nucleus takes the predicted one of largest IoU, which several may take; what none took adds to the union.
    """
    order = np.lexsort((-pairs.iou, pairs.true))
    best = order[np.unique(pairs.true[order], return_index=True)[1]]
    chosen = pairs.predicted[best]
    shared = pairs.shared[best].sum()
    matched = pairs.true_areas.sum() + pairs.areas[chosen].sum() - shared
    union = matched + pairs.areas.sum() - pairs.areas[np.unique(chosen)].sum()
    return float(shared / union) if union else float("nan")


class Detections(NamedTuple):
    """Pairs with IoU above 0.5, of which a nucleus can have one at most: indices and IoU (k,)."""

    true: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray


def detections(pairs: Overlaps) -> Detections:
    """The matching of panoptic quality (Kirillov et al., CVPR 2019)."""
    above = pairs.iou > 0.5
    return Detections(pairs.true[above], pairs.predicted[above], pairs.iou[above])

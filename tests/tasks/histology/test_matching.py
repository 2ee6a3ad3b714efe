"""Overlap metrics against cellseg-metrics."""

import cellseg_metrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.tasks.histology.matching import aggregated_jaccard, detections, overlaps

LABELS = hnp.arrays(np.int32, (12, 12), elements=st.integers(0, 6))


def _blocks(labels: np.ndarray, seed: int) -> np.ndarray:
    """`labels` with large pieces of a few ids, so that some overlaps exceed one half; ids with gaps."""
    rng = np.random.default_rng(seed)
    large = labels.copy()
    for number in range(1, 5):
        y, x = rng.integers(0, 9, 2)
        large[y : y + 4, x : x + 4] = 10 * number
    return large


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, st.integers(0, 99))
def test_panoptic_quality_agrees_with_cellseg_metrics(true, predicted, seed):
    true, predicted = _blocks(true, seed), _blocks(predicted, seed)
    found = detections(overlaps(true, predicted))
    number = len(np.unique(true[true > 0])) + len(np.unique(predicted[predicted > 0]))
    other = cellseg_metrics.panoptic_quality(true, predicted)
    assert found.iou.sum() / (number / 2) == pytest.approx(other["pq"], abs=1e-6)
    assert len(found.iou) / (number / 2) == pytest.approx(other["dq"], abs=1e-6)
    assert len(set(found.true)) == len(set(found.predicted)) == len(found.iou)


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, st.integers(0, 99))
def test_aggregated_jaccard_agrees_where_the_definitions_do(true, predicted, seed):
    """cellseg-metrics matches by the largest intersection (all of them at a tie), Kumar et al. by the largest IoU."""
    true, predicted = _blocks(true, seed), _blocks(predicted, seed)
    ours = aggregated_jaccard(overlaps(true, predicted))
    if _largest_intersection_is_largest_iou(true, predicted):
        assert ours == pytest.approx(cellseg_metrics.aggregated_jaccard_index(true, predicted), abs=1e-6)
    assert 0 <= ours <= 1


def _largest_intersection_is_largest_iou(true: np.ndarray, predicted: np.ndarray) -> bool:
    for number in np.unique(true[true > 0]):
        mask = true == number
        others = np.unique(predicted[mask & (predicted > 0)])
        shared = [(mask & (predicted == other)).sum() for other in others]
        iou = [s / (mask | (predicted == other)).sum() for s, other in zip(shared, others, strict=True)]
        if len(others) and (shared.count(max(shared)) > 1 or np.argmax(shared) != np.argmax(iou)):
            return False
    return True


def test_aggregated_jaccard_matches_by_iou_and_charges_what_is_left_over():
    true = np.zeros((10, 30), int)
    true[:, :6] = 1
    predicted = np.zeros_like(true)
    predicted[:6, :6] = 1  # shares 36 of 60: IoU 0.6
    predicted[6:, :30] = 2  # shares 24, but spreads over 120
    assert aggregated_jaccard(overlaps(true, predicted)) == pytest.approx(36 / (60 + 120))


def test_a_prediction_may_serve_two_true_nuclei():
    true = np.zeros((4, 8), int)
    true[:, :4], true[:, 4:] = 1, 2
    assert aggregated_jaccard(overlaps(true, np.ones((4, 8), int))) == pytest.approx(32 / 64)


def test_perfect_missing_and_empty():
    true = np.diag([1, 2, 3])
    nothing = np.zeros((3, 3), int)
    assert aggregated_jaccard(overlaps(true, true * 7)) == 1
    assert aggregated_jaccard(overlaps(true, nothing)) == 0
    assert aggregated_jaccard(overlaps(nothing, true)) == 0
    assert np.isnan(aggregated_jaccard(overlaps(nothing, nothing)))

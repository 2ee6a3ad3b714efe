"""AUROC, AUPRC and calibration from histograms, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from oncotrain.tasks.drug_response.binary_metrics import BINS, binary_figures, binary_sums

PATIENTS = st.lists(st.tuples(st.booleans(), st.integers(0, BINS - 1)), min_size=4, max_size=60).filter(
    lambda rows: len({true for true, _ in rows}) == 2
)


@given(PATIENTS, st.integers(1, 3))
def test_figures_are_sklearns_whatever_the_sites(rows: list[tuple[bool, int]], at: int) -> None:
    true = np.array([int(true) for true, _ in rows])
    probability = np.array([(place + 0.5) / BINS for _, place in rows])
    parts = [binary_sums(true[:at], probability[:at]), binary_sums(true[at:], probability[at:])]
    figures = binary_figures({name: parts[0][name] + parts[1][name] for name in parts[0]})
    assert figures["auroc"] == pytest.approx(roc_auc_score(true, probability))
    assert figures["auprc"] == pytest.approx(average_precision_score(true, probability))
    assert figures["brier"] == pytest.approx(brier_score_loss(true, probability))


def test_one_class_alone_has_no_figures() -> None:
    assert all(np.isnan(value) for value in binary_figures(binary_sums(np.ones(5), np.full(5, 0.3))).values())


def test_calibration_tells_the_calibrated_from_the_confident() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20000)
    true = (rng.random(20000) < probability).astype(int)
    confident = np.clip((probability - 0.5) * 3 + 0.5, 0, 1)
    assert binary_figures(binary_sums(true, probability))["calibration_error"] < 0.02
    assert binary_figures(binary_sums(true, confident))["calibration_error"] > 0.1

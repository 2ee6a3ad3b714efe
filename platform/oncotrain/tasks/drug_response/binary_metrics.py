"""Figures of predicted probabilities, from histograms that add up over sites.

`Sums` hold `responders` and `others` (BINS,), how many of each have a probability in the bin, and `brier` (), the sum
of squared errors: histograms were chosen over exchanged predictions, so that no patient's value leaves a site. Ranks
within a bin of 1 / BINS are ties.
"""

from collections.abc import Sequence

import numpy as np

from oncotrain.tasks.task import Sums

METRICS = ("auroc", "auprc", "brier", "calibration_error")
"""Names of all figures."""
BINS = 1000
_GROUPS = 10
"""Groups of equally many patients for calibration."""


def binary_sums(true: np.ndarray, probability: np.ndarray) -> Sums:
    """Sums of patients: `true` (n,) 0 or 1, `probability` (n,) from 0 to 1."""
    place = np.minimum((np.asarray(probability) * BINS).astype(int), BINS - 1)
    return {
        "responders": np.bincount(place[true == 1], minlength=BINS).astype(np.float64),
        "others": np.bincount(place[true == 0], minlength=BINS).astype(np.float64),
        "brier": np.array(((true - probability) ** 2).sum()),
    }


def merge_sums(parts: Sequence[Sums]) -> Sums:
    """Sums of the union of disjoint sets of patients."""
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


def binary_figures(sums: Sums) -> dict[str, float]:
    """AUROC, AUPRC (average precision), Brier score, and the expected calibration error over tenths of the patients.

    NaN where a class has no patient.
    """
    positive, negative = sums["responders"], sums["others"]
    pairs, total = positive.sum() * negative.sum(), positive.sum() + negative.sum()
    if not pairs:
        return dict.fromkeys(METRICS, float("nan"))
    below = np.cumsum(negative) - negative
    found, called = np.cumsum(positive[::-1]), np.cumsum((positive + negative)[::-1])
    precision = np.divide(found, called, out=np.zeros(BINS), where=called > 0)
    return {
        "auroc": float((positive * (below + negative / 2)).sum() / pairs),
        "auprc": float((precision * positive[::-1]).sum() / positive.sum()),
        "brier": float(sums["brier"] / total),
        "calibration_error": calibration_error(positive, negative),
    }


def calibration_error(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean distance of the predicted from the observed share of responders, over tenths of the patients by probability.

    Naeini, Cooper and Hauskrecht 2015, AAAI 29:2901, with groups of equal size; bins are not divided.
    """
    count = positive + negative
    middle = (np.arange(BINS) + 0.5) / BINS
    group = np.minimum(((np.cumsum(count) - count / 2) / count.sum() * _GROUPS).astype(int), _GROUPS - 1)
    observed = np.bincount(group, positive, _GROUPS)
    predicted = np.bincount(group, middle * count, _GROUPS)
    return float(np.abs(observed - predicted).sum() / count.sum())

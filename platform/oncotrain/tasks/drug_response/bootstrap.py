"""Figures over resampled patients, all resamples at once: per-drug figures of hundreds of drugs are slow one by one.

A patient (a cell line) is the unit of resampling, with all its pairs; pairs of one line are not independent.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from oncotrain.tasks.drug_response.metrics import response_figures
from oncotrain.tasks.task import Sums


def resampled_figures(
    patients: Mapping[str, Sums], draws: np.ndarray, minimum_samples: int, names: Sequence[str]
) -> np.ndarray:
    """The figures `names` of each resample (resamples, names).

    Args:
        patients: Sums of each patient, in the order that `draws` counts them in.
        draws: How often each resample has each patient (resamples, patients).
    """
    stacked = {name: np.stack([sums[name] for sums in patients.values()]) for name in next(iter(patients.values()))}
    n, weights = stacked["n"], draws.astype(np.float64)
    count = np.maximum(n.sum(axis=0), 1)
    # Moments around the drug's mean over all patients lose no digits when they are moved to a resample's own mean.
    centre = {name: (n * stacked[name]).sum(axis=0) / count for name in ("true", "predicted")}
    shift = {name: stacked[name] - centre[name] for name in centre}
    total = weights @ n
    mean = {name: weights @ (n * shift[name]) / np.maximum(total, 1) for name in centre}
    sums: Sums = {"n": total, "error": weights @ stacked["error"]}
    sums |= {name: mean[name] + centre[name] for name in centre}
    for one, other in (("true", "true"), ("predicted", "predicted"), ("true", "predicted")):
        moved = stacked[f"{one}_{other}"] + n * shift[one] * shift[other]
        sums[f"{one}_{other}"] = weights @ moved - total * mean[one] * mean[other]
    figures = []
    for at in range(len(draws)):
        found = response_figures({name: values[at] for name, values in sums.items()}, minimum_samples)
        figures.append([found[name] for name in names])
    return np.array(figures)


def draw_patients(patients: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of `resamples` has each patient, int64 (resamples, patients); drawn with replacement."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=resamples)

"""Intervals of predicted responses from residuals of held-out patients."""

from collections.abc import Iterable

import numpy as np

from oncotrain.tasks.task import Sums


def residual_quantiles(patients: Iterable[Sums], level: float) -> np.ndarray:
    """Half widths (drugs,) float64 that hold a new patient's response with probability `level`, drug by drug.

    Split conformal prediction (Lei et al. 2018, JASA 113:1094): the k-th smallest absolute residual of n held-out
    patients, k = ceil((n + 1) level). Where a drug has fewer than k patients, that of all drugs' residuals together.

    Args:
        patients: Sums of held-out patients; of one with several samples the root mean square is the residual.
    """
    parts = list(patients)
    count, error = (np.stack([part[name] for part in parts]) for name in ("n", "error"))
    residuals = np.sqrt(np.divide(error, count, out=np.full_like(error, np.nan), where=count > 0))
    together = _quantile(residuals.ravel(), level, fallback=np.inf)
    return np.array([_quantile(values, level, fallback=together) for values in residuals.T])


def _quantile(residuals: np.ndarray, level: float, fallback: float) -> float:
    seen = np.sort(residuals[~np.isnan(residuals)])
    place = int(np.ceil((len(seen) + 1) * level))
    return float(seen[place - 1]) if 0 < place <= len(seen) else fallback

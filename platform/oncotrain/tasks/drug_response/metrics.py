"""Agreement of predicted with observed responses, from moments that merge exactly.

`Sums` hold, for each drug, float64 arrays (drugs,): the number of observed pairs `n`, the means `true` and `predicted`,
the centred second moments `true_true`, `predicted_predicted`, `true_predicted`, and the squared error `error`.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from oncotrain.tasks.task import Sums

METRICS = (
    "pearson_per_drug",
    "r2_per_drug",
    "pearson_normalized",
    "r2_normalized",
    "rmse",
    "pearson_all_pairs",
    "r2_all_pairs",
    "drugs",
    "pairs",
)
"""Names of all figures."""
_ROUNDING = 1e-13
"""Relative deviation below which values that differ from their mean do so by rounding only."""


def pair_sums(true: np.ndarray, predicted: np.ndarray) -> Sums:
    """Sums of one sample.

    Args:
        true: Observed responses (drugs,), NaN where there is none.
        predicted: Predicted responses (drugs,).
    """
    observed = ~np.isnan(true)
    zeros = np.zeros(len(true))
    y = np.where(observed, true, 0).astype(np.float64)
    p = np.where(observed, predicted, 0).astype(np.float64)
    return {
        "n": observed.astype(np.float64),
        "true": y,
        "predicted": p,
        "true_true": zeros,
        "predicted_predicted": zeros,
        "true_predicted": zeros,
        "error": (y - p) ** 2,
    }


def merge_sums(parts: Sequence[Sums]) -> Sums:
    """Sums of the union of disjoint sets of pairs.

    The means first, then the second moments moved to them: Chan, Golub and LeVeque 1983, Algorithms for computing the
    sample variance, The American Statistician 37:242, for any number of parts.
    """
    return _merge({name: np.stack([part[name] for part in parts]) for name in parts[0]})


def told_sums(sums: Sums, enough: int) -> Sums:
    """The sums without drugs of fewer than `enough` pairs: of one pair they are its response and its prediction."""
    return {name: np.where(sums["n"] >= enough, values, 0.0) for name, values in sums.items()}


def response_figures(sums: Sums, minimum_samples: int) -> dict[str, float]:
    """Figures of all pairs and, where a drug's potency must not count, means over drugs.

    Per-drug figures are means over the drugs with at least `minimum_samples` pairs on which they are defined. The
    normalized ones are of all pairs of these drugs, each less its drug's mean: drugs count as they vary. R2 is
    1 - squared error / variation of the truth around its own mean. NaN where undefined: fewer than two pairs, constant
    truth, and for Pearson a constant prediction.
    """
    scored = sums["n"] >= minimum_samples
    pairs = _merge(sums)
    total = float(pairs["n"])
    true, predicted = (np.nansum(_variation(sums, name)[scored]) for name in ("true", "predicted"))
    common, error = (sums[name][scored].sum() for name in ("true_predicted", "error"))
    return {
        "pearson_per_drug": _mean(pearson(sums)[scored]),
        "r2_per_drug": _mean(r2(sums)[scored]),
        "pearson_normalized": float(common / np.sqrt(true * predicted)) if true * predicted else float("nan"),
        "r2_normalized": float(1 - error / true) if true else float("nan"),
        "rmse": float(np.sqrt(pairs["error"] / total)) if total else float("nan"),
        "pearson_all_pairs": float(pearson(pairs)),
        "r2_all_pairs": float(r2(pairs)),
        "drugs": float(scored.sum()),
        "pairs": total,
    }


def spearman_per_drug(patients: Sequence[Sums], minimum_samples: int) -> float:
    """Mean over drugs of Spearman's correlation over patients, each by the mean of its samples.

    Of the drugs with at least `minimum_samples` patients on which it is defined. Ranks need every response and every
    prediction; moments and what sites may send do not tell them.
    """
    seen = np.stack([sums["n"] > 0 for sums in patients])
    true, predicted = (np.stack([sums[name] for sums in patients]) for name in ("true", "predicted"))
    found = []
    for drug in np.flatnonzero(seen.sum(axis=0) >= minimum_samples):
        pairs = true[seen[:, drug], drug], predicted[seen[:, drug], drug]
        if all(np.ptp(values) > 0 for values in pairs):
            found.append(spearmanr(*pairs).statistic)
    return _mean(np.array(found))


def pearson(sums: Sums) -> np.ndarray:
    """Pearson's correlation of truth and prediction, of the shape of the sums."""
    true, predicted = _variation(sums, "true"), _variation(sums, "predicted")
    return sums["true_predicted"] / np.sqrt(true * predicted)


def r2(sums: Sums) -> np.ndarray:
    """Coefficient of determination, of the shape of the sums."""
    return 1 - sums["error"] / _variation(sums, "true")


def _merge(stacked: Sums) -> Sums:
    """Merge along the first axis."""
    n = stacked["n"].sum(axis=0)
    weight = stacked["n"] / np.where(n > 0, n, 1)
    merged = {"n": n, "error": stacked["error"].sum(axis=0)}
    shift = {}
    for name in ("true", "predicted"):
        merged[name] = (weight * stacked[name]).sum(axis=0)
        shift[name] = stacked[name] - merged[name]
    for first, second in (("true", "true"), ("predicted", "predicted"), ("true", "predicted")):
        moved = stacked[f"{first}_{second}"] + stacked["n"] * shift[first] * shift[second]
        merged[f"{first}_{second}"] = moved.sum(axis=0)
    return merged


def _variation(sums: Sums, name: str) -> np.ndarray:
    """The centred second moment, NaN where the values are constant."""
    moment = sums[f"{name}_{name}"]
    return np.where(moment > sums["n"] * (_ROUNDING * sums[name]) ** 2, moment, np.nan)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")

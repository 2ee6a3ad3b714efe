"""Leaks that make figures too good: samples on both sides of a split, and genes that hold the response."""

from collections.abc import Sequence

import numpy as np

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row

DUPLICATE = 0.999
"""Correlation of two standardized profiles from which on they count as one sample measured twice."""
COPY = 0.97
"""Correlation of a gene with a drug's response from which on the gene is taken for a copy: no single gene explains
94 % of a response's variance."""
_FEWEST = 20
"""Samples below which a high correlation is no news."""
_EXAMPLES = 3


def require_no_leak(plan: Plan, train: Sequence[Row], test: Sequence[Row], *, shared_samples: bool = False) -> None:
    """Raises DataError naming what leaks from adapted `test` rows to `train` rows.

    Args:
        shared_samples: Samples may stand on both sides, as where pairs or drugs are held out; a pair may not.
    """
    found = [*copied_genes(plan, [*train, *test]), *shared_pairs(plan, train, test)]
    if not shared_samples:
        found += [*shared_patients(train, test), *near_duplicates(plan, train, test)]
    if found:
        raise DataError("leak: " + "; ".join(found))


def shared_patients(train: Sequence[Row], test: Sequence[Row]) -> list[str]:
    """Patients on both sides."""
    both = {row["patient"] for row in train} & {row["patient"] for row in test}
    return [f"{len(both)} patients are on both sides"] if both else []


def shared_pairs(plan: Plan, train: Sequence[Row], test: Sequence[Row]) -> list[str]:
    """Pairs of patient and drug on both sides."""
    seen, tested = ({(row["patient"], int(drug)) for row in rows for drug in row["drug"]} for rows in (train, test))
    both = sorted(drug for _, drug in seen & tested)
    return [f"{len(both)} pairs are on both sides, such as with {plan['drugs'][both[0]]}"] if both else []


def near_duplicates(plan: Plan, train: Sequence[Row], test: Sequence[Row], threshold: float = DUPLICATE) -> list[str]:
    """Test profiles that nearly equal one of the training rows: an alias of a line, or a replicate."""
    closest = _profiles(plan, test) @ _profiles(plan, train).T
    close = (closest > threshold).any(axis=1)
    if not close.any():
        return []
    return [f"{close.sum()} test profiles nearly equal a training profile (correlation above {threshold})"]


def copied_genes(plan: Plan, rows: Sequence[Row], threshold: float = COPY) -> list[str]:
    """Genes that correlate with the response to a drug as only a copy of it does."""
    genes = np.stack([row["expression"] for row in rows]).astype(np.float64)
    found = []
    for drug, values in enumerate(response_matrix(rows, len(plan["drugs"])).T):
        seen = ~np.isnan(values)
        if seen.sum() < _FEWEST:
            continue
        x, y = genes[seen] - genes[seen].mean(axis=0), values[seen] - values[seen].mean()
        norms = np.sqrt((x**2).sum(axis=0) * (y @ y))
        strength = np.abs(y @ x) / np.where(norms > 0, norms, np.inf)
        found += [
            f"gene {plan['genes'][at]} copies the response to {plan['drugs'][drug]}"
            for at in np.flatnonzero(strength > threshold)
        ]
    more = [f"and {len(found) - _EXAMPLES} more"] if len(found) > _EXAMPLES else []
    return [*found[:_EXAMPLES], *more]


def _profiles(plan: Plan, rows: Sequence[Row]) -> np.ndarray:
    """Standardized profiles (rows, genes) float32 of length one and mean zero, so that a product is a correlation."""
    values = np.stack([row["expression"] for row in rows]).astype(np.float32)
    values = (values - np.float32(plan["gene_mean"])) / np.float32(plan["gene_std"])
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

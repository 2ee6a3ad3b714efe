"""Leaks that make figures too good: samples on both sides of a split, and genes that hold the response."""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response.blocks import blocks
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
    found = [*copied_genes(plan, chain(train, test)), *shared_pairs(plan, train, test)]
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


def near_duplicates(plan: Plan, train: Iterable[Row], test: Iterable[Row], threshold: float = DUPLICATE) -> list[str]:
    """Test profiles that nearly equal one of the training rows: an alias of a line, or a replicate."""
    tested = [_profiles(plan, block) for block in blocks(test)]
    if not tested:
        return []
    profiles = np.vstack(tested)
    close = np.zeros(len(profiles), bool)
    for block in blocks(train):
        close |= (profiles @ _profiles(plan, block).T > threshold).any(axis=1)
    if not close.any():
        return []
    return [f"{close.sum()} test profiles nearly equal a training profile (correlation above {threshold})"]


def copied_genes(plan: Plan, rows: Iterable[Row], threshold: float = COPY) -> list[str]:
    """Genes that correlate with the response to a drug as only a copy of it does."""
    genes, drugs = len(plan["genes"]), len(plan["drugs"])
    count, y, yy = np.zeros(drugs), np.zeros(drugs), np.zeros(drugs)
    x, xx, xy = np.zeros((genes, drugs)), np.zeros((genes, drugs)), np.zeros((genes, drugs))
    for block in blocks(rows):
        # Standardized, so that sums of squares lose no digits to the means.
        expression = _standardized(plan, block).astype(np.float64)
        response = (response_matrix(block, drugs) - plan["drug_mean"]) / plan["drug_std"]
        seen = (~np.isnan(response)).astype(np.float64)
        response = np.nan_to_num(response)
        count, y, yy = count + seen.sum(axis=0), y + response.sum(axis=0), yy + (response**2).sum(axis=0)
        x += expression.T @ seen
        xx += (expression**2).T @ seen
        xy += expression.T @ response
    n = np.maximum(count, 1)
    variation = np.maximum(xx - x**2 / n, 0) * np.maximum(yy - y**2 / n, 0)
    strength = np.divide(np.abs(xy - x * y / n), np.sqrt(variation), out=np.zeros_like(xy), where=variation > 1e-12)
    copies = np.argwhere((strength > threshold) & (count >= _FEWEST))
    found = [f"gene {plan['genes'][at]} copies the response to {plan['drugs'][drug]}" for at, drug in copies]
    more = [f"and {len(found) - _EXAMPLES} more"] if len(found) > _EXAMPLES else []
    return [*found[:_EXAMPLES], *more]


def _standardized(plan: Plan, rows: Sequence[Row]) -> np.ndarray:
    """Profiles (rows, genes) float32 by the moments of all rows.

    Also where batches have scales of their own: on those, a copy of the response would look less like it.
    """
    values = np.stack([row["expression"] for row in rows]).astype(np.float32)
    standardized: np.ndarray = (values - np.float32(plan["gene_mean"])) / np.float32(plan["gene_std"])
    return standardized


def _profiles(plan: Plan, rows: Sequence[Row]) -> np.ndarray:
    """Standardized profiles (rows, genes) float32 of length one and mean zero, so that a product is a correlation."""
    values = _standardized(plan, rows)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

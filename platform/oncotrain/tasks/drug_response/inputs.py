"""What a model sees of rows: genes on a common scale, then clinical columns as numbers."""

from collections.abc import Iterator, Sequence

import numpy as np

from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.batches import Scale
from oncotrain.tasks.drug_response.quantiles import normal_scores
from oncotrain.tasks.task import Plan, Row


def input_matrix(rows: Sequence[Row], plan: Plan) -> np.ndarray:
    """Inputs (rows, genes + clinical) float32 of adapted rows, by the plan's moments and quantiles."""
    genes, numbers = standardized(rows, plan)
    if "scores" in plan:
        genes = normal_scores(genes, from_text(plan["scores"]))
    columns = clinical.encode(rows, plan["clinical"], numbers)
    return np.hstack([genes, np.float32(plan["clinical_weight"]) * columns])


def value_matrix(rows: Sequence[Row], schema: clinical.Schema) -> np.ndarray:
    """Genes and numeric clinical columns (rows, genes + numbers) float64 as they are, NaN where missing."""
    genes = np.stack([row["expression"] for row in rows]).astype(np.float64)
    return np.hstack([genes, clinical.number_matrix(rows, schema)])


def overall_of(plan: Plan) -> Scale:
    """The scale of rows of no batch, of genes and then clinical numbers."""
    return Scale(
        np.array([*plan["gene_mean"], *plan["number_mean"]]), np.array([*plan["gene_std"], *plan["number_std"]])
    )


def standardized(rows: Sequence[Row], plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Genes (rows, genes) and numeric clinical columns (rows, numbers), float32, NaN where missing.

    Each row is on the scale of its batch, or on that of all rows where it has none.
    """
    genes = np.stack([row["expression"] for row in rows]).astype(np.float32)
    numbers = clinical.number_matrix(rows, plan["clinical"])
    for chosen, scale in _scales(rows, plan):
        (centre, centres), (spread, spreads) = (np.split(part, [genes.shape[1]]) for part in scale)
        genes[chosen] = (genes[chosen] - np.float32(centre)) / np.float32(spread)
        numbers[chosen] = (numbers[chosen] - centres) / spreads
    return genes, numbers.astype(np.float32)


def _scales(rows: Sequence[Row], plan: Plan) -> Iterator[tuple[slice | np.ndarray, Scale]]:
    """Which rows are on which scale."""
    overall = overall_of(plan)
    if "batches" not in plan:
        yield slice(None), overall
        return
    known, labels = plan["batches"]["scales"], np.array([row[plan["batches"]["by"]] for row in rows])
    for label in np.unique(labels):
        yield labels == label, Scale(*from_text(known[label])) if label in known else overall

"""What a model sees of rows: genes on a common scale, then clinical columns as numbers."""

from collections.abc import Sequence

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
    values = value_matrix(rows, plan["clinical"])
    overall = overall_of(plan)
    if "batches" in plan:
        scales, labels = plan["batches"]["scales"], np.array([row[plan["batches"]["by"]] for row in rows])
        for label in np.unique(labels):
            centre, spread = from_text(scales[label]) if label in scales else overall
            values[labels == label] = (values[labels == label] - centre) / spread
    else:
        values = (values - overall.centre) / overall.spread
    genes, numbers = np.split(values.astype(np.float32), [len(plan["gene_mean"])], axis=1)
    return genes, numbers

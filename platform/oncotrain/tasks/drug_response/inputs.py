"""What a model sees of rows: standardized genes, then clinical columns as numbers."""

from collections.abc import Sequence

import numpy as np

from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.task import Plan, Row


def input_matrix(rows: Sequence[Row], plan: Plan) -> np.ndarray:
    """Inputs (rows, genes + clinical) float32 of adapted rows, by the plan's moments."""
    expression = np.stack([row["expression"] for row in rows]).astype(np.float32)
    genes = (expression - np.float32(plan["gene_mean"])) / np.float32(plan["gene_std"])
    moments = (plan["number_mean"], plan["number_std"])
    columns = clinical.encode(rows, plan["clinical"], *moments)
    return np.hstack([genes, np.float32(plan["clinical_weight"]) * columns])

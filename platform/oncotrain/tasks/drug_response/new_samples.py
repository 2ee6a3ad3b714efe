"""Samples that nobody has tested, as rows of a plan: genes that are missing are filled, and named."""

from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from oncotrain.config.expression import ClinicalField
from oncotrain.errors import DataError
from oncotrain.expression.clinical import type_clinical
from oncotrain.expression.matrix import open_for_genes
from oncotrain.expression.tables import read_table
from oncotrain.tasks.drug_response.clinical import column
from oncotrain.tasks.task import Plan, Row

_EXAMPLES = 5


class NewSamples(NamedTuple):
    """`names` as the file has them, adapted `rows` without responses, and the genes that were `filled`."""

    names: list[str]
    rows: list[Row]
    filled: list[str]
    remarks: list[str]
    """On clinical values that were not taken."""


def read_new_samples(path: str, clinical: str | None, plan: Plan, most_missing: float) -> NewSamples:
    """Read a matrix of new samples; a gene that it lacks gets the mean of the training rows.

    Args:
        clinical: A table with the column `sample` and columns named as the plan's clinical ones; None: all missing.
        most_missing: Largest share of the plan's genes that may be filled.

    Raises:
        UserError: There is no such file, or its format is unknown.
        DataError: It is no matrix, more genes are missing, a sample is there twice, or a cell is no finite number.
    """
    matrix = open_for_genes(path, plan["genes"])
    position = {gene: at for at, gene in reversed(list(enumerate(matrix.genes)))}
    filled = [gene for gene in plan["genes"] if gene not in position]
    share = len(filled) / len(plan["genes"])
    if share > most_missing:
        raise DataError(
            f"{path}: lacks {len(filled)} of the model's {len(plan['genes'])} genes ({share:.0%}, allowed "
            f"{most_missing:.0%}), such as {', '.join(filled[:_EXAMPLES])}"
        )
    names = list(matrix.samples)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: {len(names) - len(set(names))} samples are there more than once")
    values, remarks = _clinical(clinical, plan, names)
    present = np.array([gene in position for gene in plan["genes"]])
    wanted = np.array([position[gene] for gene in plan["genes"] if gene in position])
    rows: list[Row] = []
    for profile in matrix.profiles(0, len(names), wanted):
        if profile.problem:
            raise DataError(f"{path}: sample {names[profile.position]!r}: {profile.problem}")
        expression = np.array(plan["gene_mean"], np.float32)
        expression[present] = profile.values
        nothing = {"drug": np.empty(0, np.int32), "response": np.empty(0, np.float32)}
        rows.append({"expression": expression, **values[profile.position], **nothing})
    return NewSamples(names, rows, filled, remarks)


def _clinical(path: str | None, plan: Plan, names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Clinical values of each sample by the dataset's column, None where missing, and what was not taken."""
    if path is None or not plan["clinical"]:
        return [{column(name): None for name in plan["clinical"]} for _ in names], []
    table = read_table(path, ["sample"], list(plan["clinical"])).drop_duplicates("sample").set_index("sample")
    field: TypeAdapter[Any] = TypeAdapter(ClinicalField)
    schema = {name: field.validate_python(kind) for name, kind in plan["clinical"].items()}
    values, refused = type_clinical(table.reindex(names), schema)
    made = [{column(name): cells[at] for name, cells in values.items()} for at in range(len(names))]
    return made, [f"{refusal.source}: {refusal.reason}" for refusal in refused]

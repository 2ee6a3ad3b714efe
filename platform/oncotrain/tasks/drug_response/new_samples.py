"""Samples that nobody has tested, as rows of a plan: genes that are missing are filled, and named."""

from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from oncotrain.config.expression import ClinicalField
from oncotrain.errors import DataError, UserError
from oncotrain.expression.clinical import type_clinical
from oncotrain.expression.matrix import open_for_genes
from oncotrain.expression.tables import read_table
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.batches import FEWEST, Scale
from oncotrain.tasks.drug_response.clinical import column
from oncotrain.tasks.drug_response.inputs import overall_of
from oncotrain.tasks.drug_response.moments import with_batch
from oncotrain.tasks.task import Plan, Row

_EXAMPLES = 5
_NEW = "new samples"
"""Their batch's label in their plan."""


class NewSamples(NamedTuple):
    """`names` as the file has them, adapted `rows` without responses, and the genes that were `filled`."""

    names: list[str]
    rows: list[Row]
    filled: list[str]
    remarks: list[str]
    """On clinical values that were not taken, and samples too few to be a batch."""
    plan: Plan
    """The plan with the batch of these samples."""


def read_new_samples(
    path: str, clinical: str | None, plan: Plan, most_missing: float, batch: str | None = None
) -> NewSamples:
    """Read a matrix of new samples; a gene that it lacks gets the mean of the training rows.

    Args:
        clinical: A table with the column `sample` and columns named as the plan's clinical ones; None: all missing.
        most_missing: Largest share of the plan's genes that may be filled.
        batch: Which of the plan's batches they are of; None: they are a batch of their own.

    Raises:
        UserError: There is no such file, its format is unknown, or the plan has no such batch.
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
        expression = np.full(len(present), np.nan, np.float32)
        expression[present] = profile.values
        nothing = {"drug": np.empty(0, np.int32), "response": np.empty(0, np.float32)}
        rows.append({"expression": expression, **values[profile.position], **nothing})
    return _in_batch(NewSamples(names, rows, filled, remarks, plan), batch)


def _in_batch(samples: NewSamples, batch: str | None) -> NewSamples:
    """The samples with missing genes at the centre of their batch, and the plan that knows it."""
    plan, remarks, label = samples.plan, samples.remarks, {}
    scale = overall_of(plan)
    if known := plan.get("batches"):
        if batch is None:
            plan, fewest = with_batch(plan, _NEW, samples.rows), FEWEST[known["method"]]
            if len(samples.rows) < fewest:
                remarks = [*remarks, f"fewer samples than make a batch ({fewest}): on the scale of all batches"]
        elif batch not in known["scales"]:
            raise UserError(f"the run has no batch {batch!r}; it has {', '.join(sorted(known['scales'])) or 'none'}")
        label = {known["by"]: batch or _NEW}
        scale = Scale(*from_text(plan["batches"]["scales"][batch or _NEW]))
    elif batch is not None:
        raise UserError(f"the run has no batch {batch!r}: it was trained without task.batch")
    centre = scale.centre[: len(plan["gene_mean"])].astype(np.float32)
    rows: list[Row] = []
    for row in samples.rows:
        expression = row["expression"]
        rows.append({**row, **label, "expression": np.where(np.isnan(expression), centre, expression)})
    return samples._replace(rows=rows, remarks=remarks, plan=plan)


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

"""Moments of training rows that add up over sites, and the plan that follows from them.

`Sums` hold float64 arrays, of each kind a count, a sum and a sum of squares. Of the rows of each batch B (of all rows
where there are no batches, B being '') `batch/n/B`, `batch/total/B`, `batch/squares/B` (genes + numeric clinical
columns,); of responses `response/n`, `response/total`, `response/squares` (drugs,).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.arrays import to_text
from oncotrain.tasks.drug_response.batches import Moments, batch_scale, moments_of, overall_scale, pooled, scale_of
from oncotrain.tasks.drug_response.blocks import blocks
from oncotrain.tasks.drug_response.config import BatchConfig
from oncotrain.tasks.drug_response.inputs import overall_of, value_matrix
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.floor import items_of_enough
from oncotrain.tasks.task import Plan, Row, Sums

_OTHERS = ""
"""Rows of no batch, or of batches too small to be told."""


def training_moments(
    contract: Mapping[str, Any], rows: Iterable[Row], batch: BatchConfig | None = None, floor: int = 1
) -> Sums:
    """Moments of adapted training rows; with their `patient`, and the column that `batch` names.

    What fewer than `floor` patients are behind is left out: columns of a batch, responses to a drug. Batches of fewer
    are told together, without their names, if together they are enough.
    """
    drugs = len(contract["drugs"])
    batches: dict[str, Moments] = {}
    responses = _nothing(drugs)
    patients: Counter[str] = Counter()
    for block in blocks(rows):
        values = value_matrix(block, contract["clinical"])
        labels = np.array([row[batch.by] if batch else _OTHERS for row in block])
        for label in map(str, np.unique(labels)):
            seen = batches.get(label, _nothing(values.shape[1]))
            batches[label] = pooled([seen, moments_of(values[labels == label])])
        responses = pooled([responses, moments_of(response_matrix(block, drugs))])
        patients.update(row["patient"] for row in block)
    enough = items_of_enough(patients, floor)
    told = {label: _withheld(moments, enough) for label, moments in _grouped(batches, enough).items()}
    return {**_named("response", _withheld(responses, enough)), **_by_batch(told)}


def add_moments(parts: Sequence[Sums]) -> Sums:
    """Moments of the union of the parts' rows."""
    names = sorted({name for part in parts for name in part})
    return {name: np.sum([part[name] for part in parts if name in part], axis=0) for name in names}


def make_plan(contract: Mapping[str, Any], sums: Sums, batch: BatchConfig | None = None) -> Plan:
    """The contract and, as lists, mean and standard deviation of genes, responses by drug, and clinical numbers.

    A drug with fewer than two training pairs takes what it lacks from all pairs together. A deviation of zero becomes
    one, so that standardizing leaves zeros. With `batch` the plan has `batches`: `by`, `method`, and by label `scales`,
    arrays as text float64 (2, genes + numbers); other rows have the scale of all, which is ComBat's within batches.

    Raises:
        DataError: There is no observed pair.
    """
    drugs = _of_name("response", sums)
    if not drugs.n.any():
        raise DataError(f"no training sample has a {contract['response']}; nothing can be learned")
    drug, every_pair = scale_of(drugs), scale_of(Moments(*(part.sum() for part in drugs)))
    genes = len(contract["genes"])
    batches = _of_batches(sums) or {_OTHERS: _nothing(genes + len(clinical.numbers(contract["clinical"])))}
    overall = overall_scale([*batches.values()], batch.method if batch else "standardize", genes)
    plan = {
        **contract,
        "gene_mean": overall.centre[:genes].tolist(),
        "gene_std": overall.spread[:genes].tolist(),
        "drug_mean": np.where(drugs.n > 0, drug.centre, every_pair.centre).tolist(),
        "drug_std": np.where(drugs.n > 1, drug.spread, every_pair.spread).tolist(),
        "number_mean": overall.centre[genes:].tolist(),
        "number_std": overall.spread[genes:].tolist(),
    }
    if batch is None:
        return plan
    scales = {
        label: to_text(np.stack(batch_scale(moments, overall, batch.method, genes)))
        for label, moments in batches.items()
        if label != _OTHERS
    }
    return {**plan, "batches": {"by": batch.by, "method": batch.method, "scales": scales}}


def with_batch(plan: Plan, label: str, rows: Sequence[Row]) -> Plan:
    """The plan that also knows the batch `label`: one that training did not see, of these rows, whose responses are not
    looked at."""
    batches, overall = plan["batches"], overall_of(plan)
    moments = moments_of(value_matrix(rows, plan["clinical"]))
    scale = batch_scale(moments, overall, batches["method"], len(plan["gene_mean"]))
    return {**plan, "batches": {**batches, "scales": {**batches["scales"], label: to_text(np.stack(scale))}}}


def _grouped(batches: Mapping[str, Moments], enough: int) -> dict[str, Moments]:
    """Batches of enough rows, and the rest together."""
    large = {label: batch for label, batch in batches.items() if label != _OTHERS and batch.n.max() >= enough}
    rest = [batch for label, batch in batches.items() if label not in large]
    return {**large, _OTHERS: pooled(rest)} if rest else large


def _withheld(moments: Moments, enough: int) -> Moments:
    """0 where fewer than enough values are behind a sum."""
    return Moments(*(np.where(moments.n >= enough, part, 0.0) for part in moments))


def _nothing(columns: int) -> Moments:
    return Moments(*np.zeros((3, columns)))


def _named(name: str, moments: Moments) -> Sums:
    return {f"{name}/{part}": value for part, value in moments._asdict().items()}


def _of_name(name: str, sums: Sums) -> Moments:
    return Moments(*(sums[f"{name}/{part}"] for part in Moments._fields))


def _by_batch(batches: Mapping[str, Moments]) -> Sums:
    return {
        f"batch/{part}/{label}": value for label, batch in batches.items() for part, value in batch._asdict().items()
    }


def _of_batches(sums: Sums) -> dict[str, Moments]:
    first = "batch/n/"
    labels = sorted(name.removeprefix(first) for name in sums if name.startswith(first))
    return {label: Moments(*(sums[f"batch/{part}/{label}"] for part in Moments._fields)) for label in labels}

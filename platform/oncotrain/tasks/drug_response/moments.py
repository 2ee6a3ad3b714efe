"""Moments of training rows that add up over sites, and the plan that follows from them.

`Sums` hold float64 arrays: `samples` (); `gene_sum`, `gene_squares` (genes,); `pairs`, `response_sum`,
`response_squares` (drugs,); `number_count`, `number_sum`, `number_squares` (numeric clinical columns,).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.task import Plan, Row, Sums

_CONSTANT = 1e-6
"""A standard deviation below this share of the root mean square is rounding of a constant."""


def training_moments(contract: Mapping[str, Any], rows: Iterable[Row]) -> Sums:
    """Moments of adapted training rows."""
    genes, drugs = len(contract["genes"]), len(contract["drugs"])
    names = clinical.numbers(contract["clinical"])
    sums = {
        "samples": np.zeros(()),
        **{name: np.zeros(genes) for name in ("gene_sum", "gene_squares")},
        **{name: np.zeros(drugs) for name in ("pairs", "response_sum", "response_squares")},
        **{name: np.zeros(len(names)) for name in ("number_count", "number_sum", "number_squares")},
    }
    for row in rows:
        expression = row["expression"].astype(np.float64)
        response = row["response"].astype(np.float64)
        values = np.array([clinical.number(row, name) for name in names])
        known = np.where(np.isnan(values), 0, values)
        sums["samples"] += 1
        sums["gene_sum"] += expression
        sums["gene_squares"] += expression**2
        np.add.at(sums["pairs"], row["drug"], 1)
        np.add.at(sums["response_sum"], row["drug"], response)
        np.add.at(sums["response_squares"], row["drug"], response**2)
        sums["number_count"] += ~np.isnan(values)
        sums["number_sum"] += known
        sums["number_squares"] += known**2
    return sums


def add_moments(parts: Sequence[Sums]) -> Sums:
    """Moments of the union of the parts' rows."""
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


def make_plan(contract: Mapping[str, Any], sums: Sums) -> Plan:
    """The contract and, as lists, mean and standard deviation of genes, responses by drug, and clinical numbers.

    A drug with fewer than two training pairs takes what it lacks from all pairs together. A deviation of zero becomes
    one, so that standardizing leaves zeros.

    Raises:
        DataError: There is no observed pair.
    """
    pairs = sums["pairs"].sum()
    if not pairs:
        raise DataError(f"no training sample has a {contract['response']}; nothing can be learned")
    overall_mean, overall_std = _standard(pairs, sums["response_sum"].sum(), sums["response_squares"].sum())
    drug_mean, drug_std = _standard(sums["pairs"], sums["response_sum"], sums["response_squares"])
    gene_mean, gene_std = _standard(sums["samples"], sums["gene_sum"], sums["gene_squares"])
    number_mean, number_std = _standard(sums["number_count"], sums["number_sum"], sums["number_squares"])
    return {
        **contract,
        "gene_mean": gene_mean.tolist(),
        "gene_std": gene_std.tolist(),
        "drug_mean": np.where(sums["pairs"] > 0, drug_mean, overall_mean).tolist(),
        "drug_std": np.where(sums["pairs"] > 1, drug_std, overall_std).tolist(),
        "number_mean": number_mean.tolist(),
        "number_std": number_std.tolist(),
    }


def _standard(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) standard deviation; 0 and 1 of nothing."""
    count = np.maximum(count, 1)
    mean, square = total / count, squares / count
    variance = square - mean**2
    constant = variance <= _CONSTANT**2 * square
    return mean, np.sqrt(np.where(constant, 1, variance))

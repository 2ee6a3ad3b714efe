"""The long table of drug responses, reduced to one value a (sample, drug)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from oncotrain.config.expression import Columns, ReplicateRule, ResponseConfig
from oncotrain.errors import DataError
from oncotrain.expression.refusal import Refusal
from oncotrain.expression.tables import read_table


class Responses(NamedTuple):
    """`table`: sample, drug (index into `drugs`, int32), value (float64), one row a (sample, drug), sorted by both."""

    table: pd.DataFrame
    drugs: tuple[str, ...]
    refused: list[Refusal]


def read_responses(path: str, config: ResponseConfig, columns: Columns) -> Responses:
    """Read the rows that `config` selects; rows without a sample, a known drug or a finite value are refused.

    Raises DataError if the table cannot be read, lacks a column, or no row is selected.
    """
    names = {columns.sample: "sample", columns.drug: "drug", columns.value: "value"}
    if columns.replicate:
        names[columns.replicate] = "replicate"
    filters = [*config.rows, *(column for rows in config.auxiliary.values() for column in rows)]
    whole = read_table(path, [*names, *dict.fromkeys(filters)])
    table = _selected(whole, config.rows, path).rename(columns=names)[list(names.values())]
    drugs = config.drugs or tuple(sorted(table["drug"].dropna().unique()))
    for label, rows in config.auxiliary.items():
        more = _selected(whole, rows, path).rename(columns=names)[list(names.values())]
        more["drug"] = more["drug"].map(lambda drug, label=label: auxiliary_name(drug, label), na_action="ignore")
        drugs += tuple(sorted(more["drug"].dropna().unique()))
        table = pd.concat([table, more], ignore_index=True)
    table["drug"] = pd.Categorical(table["drug"], drugs).codes.astype(np.int32)
    if config.classes is not None:
        table["value"] = table["value"].map(config.classes)
    table["value"] = pd.to_numeric(table["value"], errors="coerce").astype(np.float64)
    checks = {
        "no sample is named": table["sample"].isna(),
        "the drug is not among the dataset's drugs": table["drug"] < 0,
        f"{columns.value} is {_allowed(config)}": ~np.isfinite(table["value"]),
    }
    refused = [Refusal("responses", f"{bad.sum()} rows: {reason}") for reason, bad in checks.items() if bad.any()]
    good = table[~np.logical_or.reduce(list(checks.values()))]
    return Responses(resolve_replicates(good, config.replicates), drugs, refused)


def _allowed(config: ResponseConfig) -> str:
    return "no finite number" if config.classes is None else f"none of {', '.join(config.classes)}"


def auxiliary_name(drug: str, label: str) -> str:
    """What a drug of the auxiliary responses `label` is called."""
    return f"{drug} [{label}]"


def _selected(table: pd.DataFrame, rows: Mapping[str, str], path: str) -> pd.DataFrame:
    """Rows in which each column has its value. Raises DataError if there are none."""
    for column, value in rows.items():
        table = table[table[column] == value]
    if table.empty:
        chosen = ", ".join(f"{column} = {value}" for column, value in rows.items())
        raise DataError(f"{path}: has no responses{' with ' + chosen if chosen else ''}")
    return table


def resolve_replicates(table: pd.DataFrame, rule: ReplicateRule) -> pd.DataFrame:
    """One row for each (sample, drug), sorted: the mean, the median or the first of its values.

    First is the lowest `replicate` (a number; text after numbers) where there is such a column, else the first row.
    """
    if rule == "first" and "replicate" in table.columns:
        table = table.sort_values("replicate", key=lambda cells: pd.to_numeric(cells, errors="coerce"), kind="stable")
    return table.groupby(["sample", "drug"], sort=True)["value"].agg(rule).reset_index()

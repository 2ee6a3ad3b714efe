"""The long table of drug responses, reduced to one value a (sample, drug)."""

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
    table = read_table(path, [*names, *config.rows])
    for column, value in config.rows.items():
        table = table[table[column] == value]
    if table.empty:
        chosen = ", ".join(f"{column} = {value}" for column, value in config.rows.items())
        raise DataError(f"{path}: has no responses{' with ' + chosen if chosen else ''}")
    table = table.rename(columns=names)[list(names.values())]
    drugs = config.drugs or tuple(sorted(table["drug"].dropna().unique()))
    table["drug"] = pd.Categorical(table["drug"], drugs).codes.astype(np.int32)
    table["value"] = pd.to_numeric(table["value"], errors="coerce").astype(np.float64)
    checks = {
        "no sample is named": table["sample"].isna(),
        "the drug is not among the dataset's drugs": table["drug"] < 0,
        f"{columns.value} is no finite number": ~np.isfinite(table["value"]),
    }
    refused = [Refusal("responses", f"{bad.sum()} rows: {reason}") for reason, bad in checks.items() if bad.any()]
    good = table[~np.logical_or.reduce(list(checks.values()))]
    return Responses(resolve_replicates(good, config.replicates), drugs, refused)


def resolve_replicates(table: pd.DataFrame, rule: ReplicateRule) -> pd.DataFrame:
    """One row for each (sample, drug), sorted: the mean, the median or the first of its values.

    First is the lowest `replicate` (a number; text after numbers) where there is such a column, else the first row.
    """
    if rule == "first" and "replicate" in table.columns:
        table = table.sort_values("replicate", key=lambda cells: pd.to_numeric(cells, errors="coerce"), kind="stable")
    return table.groupby(["sample", "drug"], sort=True)["value"].agg(rule).reset_index()

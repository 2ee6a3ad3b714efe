"""Which samples a site brings: the rows of its samples table, under pseudonyms, with clinical values and responses."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from oncotrain.config.expression import ExpressionConfig
from oncotrain.errors import DataError
from oncotrain.expression.clinical import type_clinical
from oncotrain.expression.refusal import Refusal
from oncotrain.expression.response import Responses
from oncotrain.expression.schema import clinical_column
from oncotrain.expression.tables import read_table
from oncotrain.lake.names import slug
from oncotrain.lake.pseudonym import Pseudonyms
from oncotrain.lake.withdrawal import WITHDRAWN

_PARTS = ("train", "test")


class Roster(NamedTuple):
    """`known`: every sample the table names; `records`: this site's accepted samples -> their row, less expression."""

    known: frozenset[str]
    records: dict[str, dict[str, Any]]
    refused: list[Refusal]


def read_roster(path: str, config: ExpressionConfig, site: str, pseudonyms: Pseudonyms) -> Roster:
    """Read the samples table. A sample listed twice, without a patient or of an unknown part is refused.

    Raises DataError if the table cannot be read, lacks a column that the configuration names, or has no row of `site`.
    """
    columns = config.columns
    required = [columns.sample, columns.patient, columns.cohort, columns.part, columns.site]
    clinical_names = [field.column or name for name, field in config.clinical.items()]
    table = read_table(path, [name for name in required if name], clinical_names)
    known = frozenset(table[columns.sample].dropna())
    if columns.site:
        table = _rows_of_site(table, columns.site, site, path)
    clinical, refused = type_clinical(table, config.clinical)
    cohorts = table[columns.cohort].fillna("") if columns.cohort else [""] * len(table)
    parts = table[columns.part].fillna("") if columns.part else [""] * len(table)
    copies = Counter(table[columns.sample])
    if copies[None]:
        refused.append(Refusal("samples", f"{copies[None]} rows have no {columns.sample}"))
    records = {}
    rows = zip(table[columns.sample], table[columns.patient], cohorts, parts, strict=True)
    for row, (sample, patient, cohort, part) in enumerate(rows):
        if sample is None:
            continue
        problem = _problem(copies[sample], patient, part)
        if problem:
            refused.append(_refuse(pseudonyms, sample, problem))
            continue
        records[sample] = {
            "site": site,
            "patient": pseudonyms.make("patient", patient),
            "cohort": cohort,
            "part": part,
            "sample": pseudonyms.make("sample", sample),
            **{clinical_column(name): values[row] for name, values in clinical.items()},
        }
    return Roster(known, records, list(dict.fromkeys(refused)))


def leave_out(roster: Roster, gone: Collection[str]) -> Roster:
    """The roster with the samples of the patients (pseudonyms) in `gone`, who have withdrawn consent, refused."""
    records = {sample: record for sample, record in roster.records.items() if record["patient"] not in gone}
    refused = [
        Refusal(f"sample {record['sample']}", WITHDRAWN)
        for sample, record in roster.records.items()
        if sample not in records
    ]
    return Roster(roster.known, records, [*roster.refused, *refused])


def match_profiles(
    samples: Sequence[str], roster: Roster, pseudonyms: Pseudonyms
) -> tuple[dict[int, str], list[Refusal]]:
    """Position in the matrix -> sample, for the roster's samples; profiles without a row and rows without a profile.

    A sample with more than one profile is refused altogether, since nothing says which is the right one.
    """
    copies = Counter(samples)
    refused = []
    for sample, count in copies.items():
        if sample not in roster.known:
            refused.append(_refuse(pseudonyms, sample, "has an expression profile but is not in the samples table"))
        elif count > 1 and sample in roster.records:
            refused.append(_refuse(pseudonyms, sample, f"has {count} expression profiles; sample ids must be unique"))
    refused += [
        _refuse(pseudonyms, sample, "has no expression profile") for sample in roster.records if sample not in copies
    ]
    matched = {
        position: sample for position, sample in enumerate(samples) if sample in roster.records and copies[sample] == 1
    }
    return matched, refused


def match_responses(
    responses: Responses, roster: Roster, matched: Mapping[int, str], pseudonyms: Pseudonyms
) -> tuple[dict[str, dict[str, np.ndarray]], list[Refusal]]:
    """Each matched sample's `drug` (int32, ascending) and `response` (float32), and responses without a sample."""
    pairs = {
        sample: {"drug": np.empty(0, np.int32), "response": np.empty(0, np.float32)} for sample in matched.values()
    }
    refused = []
    for sample, table in responses.table.groupby("sample", sort=True):
        if sample in pairs:
            pairs[sample] = {"drug": table["drug"].to_numpy(np.int32), "response": table["value"].to_numpy(np.float32)}
        elif sample not in roster.known:
            refused.append(_refuse(pseudonyms, sample, f"has {len(table)} responses but is not in the samples table"))
        elif sample in roster.records:
            refused.append(
                _refuse(pseudonyms, sample, f"has {len(table)} responses but no accepted expression profile")
            )
    return pairs, refused


def _rows_of_site(table: pd.DataFrame, column: str, site: str, path: str) -> pd.DataFrame:
    sites = table[column].fillna("").map(slug)
    if not (sites == site).any():
        raise DataError(
            f"{path}: no row belongs to site {site!r}; column {column!r} has: {', '.join(sorted(set(sites)))}"
        )
    return table[sites == site]


def _problem(copies: int, patient: str | None, part: str) -> str | None:
    if copies > 1:
        return f"is {copies} times in the samples table; sample ids must be unique"
    if patient is None:
        return "has no patient id"
    if part and part not in _PARTS:
        return f"has part {part!r}; allowed: {', '.join(_PARTS)}, or empty"
    return None


def _refuse(pseudonyms: Pseudonyms, sample: str, reason: str) -> Refusal:
    return Refusal(f"sample {pseudonyms.make('sample', sample)}", reason)

"""Which samples a site brings: the rows of its samples table, under pseudonyms, with clinical values and responses."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from oncotrain.config.expression import ExpressionConfig
from oncotrain.expression.clinical import type_clinical
from oncotrain.expression.refusal import Refusal
from oncotrain.expression.response import Responses
from oncotrain.expression.schema import clinical_column
from oncotrain.expression.tables import read_table
from oncotrain.lake.pseudonym import pseudonymize

_PARTS = ("train", "test")


class Roster(NamedTuple):
    """`known`: every sample the table names; `records`: this site's accepted samples -> their row, less expression."""

    known: frozenset[str]
    records: dict[str, dict[str, Any]]
    refused: list[Refusal]


def read_roster(path: str, config: ExpressionConfig, site: str, key: bytes) -> Roster:
    """Read the samples table. A sample listed twice, without a patient or of an unknown part is refused.

    Raises DataError if the table cannot be read or lacks a column that the configuration names.
    """
    columns = config.columns
    required = [columns.sample, columns.patient, columns.cohort, columns.part, columns.site]
    clinical_names = [field.column or name for name, field in config.clinical.items()]
    table = read_table(path, [name for name in required if name], clinical_names)
    known = frozenset(table[columns.sample].dropna())
    if columns.site:
        table = table[[slug(value or "") == site for value in table[columns.site]]]
    copies = Counter(table[columns.sample])
    cohorts = table[columns.cohort].fillna("") if columns.cohort else [""] * len(table)
    parts = table[columns.part].fillna("") if columns.part else [""] * len(table)
    clinical, refused = type_clinical(table, config.clinical)
    records = {}
    rows = zip(table[columns.sample], table[columns.patient], cohorts, parts, strict=True)
    for row, (sample, patient, cohort, part) in enumerate(rows):
        problem = _problem(sample, patient, part, copies)
        pseudonym = pseudonymize(key, "sample", sample or "")
        if problem:
            refused.append(Refusal(f"sample {pseudonym}", problem))
            continue
        records[sample] = {
            "site": site,
            "patient": pseudonymize(key, "patient", patient),
            "cohort": cohort,
            "part": part,
            "sample": pseudonym,
            **{clinical_column(name): values[row] for name, values in clinical.items()},
        }
    return Roster(known, records, list(dict.fromkeys(refused)))


def match_profiles(samples: Sequence[str], roster: Roster, key: bytes) -> tuple[dict[int, str], list[Refusal]]:
    """Position in the matrix -> sample, for the roster's samples; profiles without a row and rows without a profile.

    A sample with more than one profile is refused altogether, since nothing says which is the right one.
    """
    copies = Counter(samples)
    refused = []
    for sample, count in copies.items():
        if sample not in roster.known:
            refused.append(_refuse(key, sample, "has an expression profile but is not in the samples table"))
        elif count > 1 and sample in roster.records:
            refused.append(_refuse(key, sample, f"has {count} expression profiles; sample ids must be unique"))
    refused += [_refuse(key, sample, "has no expression profile") for sample in roster.records if sample not in copies]
    matched = {
        position: sample for position, sample in enumerate(samples) if sample in roster.records and copies[sample] == 1
    }
    return matched, refused


def match_responses(
    responses: Responses, roster: Roster, matched: Mapping[int, str], key: bytes
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
            refused.append(_refuse(key, sample, f"has {len(table)} responses but is not in the samples table"))
        elif sample in roster.records:
            refused.append(_refuse(key, sample, f"has {len(table)} responses but no accepted expression profile"))
    return pairs, refused


def slug(text: str) -> str:
    """Lower-case letters and digits, a hyphen for every run of anything else: a name fit for a site."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _problem(sample: str | None, patient: str | None, part: str, copies: Counter[str]) -> str | None:
    if sample is None:
        return "a row of the samples table has no sample id"
    if copies[sample] > 1:
        return f"is {copies[sample]} times in the samples table; sample ids must be unique"
    if patient is None:
        return "has no patient id"
    if part and part not in _PARTS:
        return f"has part {part!r}; allowed: {', '.join(_PARTS)}, or empty"
    return None


def _refuse(key: bytes, sample: str, reason: str) -> Refusal:
    return Refusal(f"sample {pseudonymize(key, 'sample', sample)}", reason)

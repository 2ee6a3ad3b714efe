"""Splits: which patients train, validate and test. An artefact of its own, keyed to the dataset it was made for.

A patient's part is a pure function of the rule and of the patients of the same site. So each site derives its split
alone, no patient list moves, and the split of pooled data is the union of the sites' splits.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import pandas as pd
from pydantic import model_validator

from oncotrain.config import Frozen, parse
from oncotrain.config.split import DeclaredRule, KFoldRule, LeaveGroupOutRule, RandomRule, SplitRule
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.lake.filesystem import Lake, rename_new, write_atomic
from oncotrain.lake.names import require_slug
from oncotrain.lake.staging import staging

__all__ = [
    "DeclaredRule",
    "KFoldRule",
    "LeaveGroupOutRule",
    "Part",
    "RandomRule",
    "Split",
    "SplitRule",
    "load_split",
    "make_split",
    "save_split",
]

Part = Literal["train", "validation", "test"]
_FILE = "split.json"


class Split(Frozen):
    """Patients (pseudonyms) of each part, sorted; no patient is in two."""

    name: str
    dataset: str
    dataset_sha256: str
    unit: Literal["patient"] = "patient"
    rule: SplitRule
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> "Split":
        patients = [*self.train, *self.validation, *self.test]
        if len(set(patients)) != len(patients):
            repeated = len(patients) - len(set(patients))
            raise ValueError(f"leak: {repeated} patients are in more than one part")
        return self

    def empty_parts(self) -> list[Part]:
        """The parts without a patient."""
        return [part for part in get_args(Part) if not getattr(self, part)]

    def rows(self, dataset: Dataset, part: Part) -> np.ndarray:
        """Numbers (int64, ascending) of the dataset's rows that belong to `part`.

        Raises UserError if the split was made for another dataset, DataError if it does not cover the patients.
        """
        if dataset.manifest.sha256 != self.dataset_sha256:
            raise UserError(
                f"split {self.name!r} was made for another content of dataset {self.dataset!r} than {dataset.uri}; "
                "make a split for this version"
            )
        patients = dataset.index(["patient"])["patient"]
        uncovered = set(patients) - {*self.train, *self.validation, *self.test}
        if uncovered:
            raise DataError(f"split {self.name!r} leaves out {len(uncovered)} patients of {dataset.uri}")
        return np.flatnonzero(patients.isin(getattr(self, part)))


def make_split(dataset: Dataset, rule: SplitRule, name: str) -> Split:
    """Divide the dataset's patients by `rule`, site by site. Deterministic in (rule, dataset).

    Raises DataError if a patient present at two sites would leak, UserError if the dataset lacks the rule's column.
    """
    require_slug("split", name)
    columns = ["site", "patient", "cohort", "part"]
    if isinstance(rule, LeaveGroupOutRule):
        columns = list(dict.fromkeys([*columns, rule.column]))
    index = dataset.index(columns)
    parts: dict[str, Part] = {}
    for site, rows in index.groupby("site"):
        for patient, part in assign(str(site), rows, rule).items():
            if parts.setdefault(patient, part) != part:
                raise DataError(
                    f"leak: a patient of site {site} is in {parts[patient]} at another site, here in {part}"
                )
    return Split(
        name=name,
        dataset=dataset.manifest.name,
        dataset_sha256=dataset.manifest.sha256,
        rule=rule,
        train=tuple(sorted(patient for patient, part in parts.items() if part == "train")),
        validation=tuple(sorted(patient for patient, part in parts.items() if part == "validation")),
        test=tuple(sorted(patient for patient, part in parts.items() if part == "test")),
    )


def assign(site: str, rows: pd.DataFrame, rule: SplitRule) -> dict[str, Part]:
    """The part of each patient of one site; `rows` has the columns patient, cohort and part, and the rule's own.

    At least one patient is left to train, unless all of them are test by declaration or by their group.
    """
    patients = _shuffled(rows["patient"], f"{rule.seed}")
    test = _test_patients(site, rows, patients, rule)
    rest = [patient for patient in _shuffled(patients, f"{rule.seed}:validation") if patient not in test]
    share = rule.validation / (1 - rule.test) if isinstance(rule, RandomRule) else rule.validation
    validation = set(rest[: _count(share, len(rest))])
    return {p: "test" if p in test else "validation" if p in validation else "train" for p in patients}


def save_split(lake: Lake, split: Split) -> None:
    """Write `splits/<name>/split.json`, once: a split does not change.

    Raises UserError if another split has that name; saving the same one again is no error.
    """
    with staging(lake) as staged:
        write_atomic(lake.fs, f"{staged}/{_FILE}", split.model_dump_json(indent=1).encode())
        try:
            rename_new(lake.fs, staged, lake.path("splits", split.name))
        except FileExistsError:
            if load_split(lake, split.name) != split:
                raise UserError(f"{lake.path('splits', split.name)}: exists and differs; choose another name") from None


def load_split(lake: Lake, name: str) -> Split:
    """Raises UserError if there is no such split, DataError if its file is damaged."""
    path = lake.path("splits", require_slug("split", name), _FILE)
    try:
        data = json.loads(lake.read_bytes("splits", name, _FILE))
    except FileNotFoundError:
        raise UserError(f"{lake.uri} has no split {name!r}; made: {', '.join(lake.list('splits')) or 'none'}") from None
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    try:
        return parse(Split, data, path)
    except UserError as error:
        raise DataError(str(error)) from None


def _test_patients(site: str, rows: pd.DataFrame, patients: list[str], rule: SplitRule) -> set[str]:
    match rule:
        case RandomRule():
            return set(patients[: _count(rule.test, len(patients))])
        case KFoldRule():
            # Sites start at different folds, so that the leftovers of many small sites do not all fall into the first.
            offset = int.from_bytes(_digest(f"{rule.seed}:{site}")[:8]) % rule.k
            folds = {patient: (rank + offset) % rule.k for rank, patient in enumerate(patients)}
            test = {patient for patient in patients if folds[patient] == rule.fold}
            return test if len(test) < len(patients) else set()
        case DeclaredRule():
            counts = rows["cohort"].isin(rule.cohorts) | (not rule.cohorts)
            return set(rows.loc[(rows["part"] == "test") & counts, "patient"])
        case LeaveGroupOutRule():
            return set(rows.loc[rows[rule.column].isin(rule.groups), "patient"])


def _count(fraction: float, total: int) -> int:
    """`fraction` of `total`, rounded half up, leaving one."""
    return min(int(fraction * total + 0.5), max(total - 1, 0))


def _shuffled(patients: Iterable[str], salt: str) -> list[str]:
    """Patients in an order that depends on the salt and the pseudonyms alone."""
    return sorted(set(patients), key=lambda patient: _digest(f"{salt}:{patient}"))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

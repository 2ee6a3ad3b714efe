from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.config import parse
from oncotrain.config.split import DeclaredRule, KFoldRule, LeaveGroupOutRule, RandomRule, SplitRule
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Split, assign, load_split, make_split, save_split

PARTS = ("train", "validation", "test")
RULES = [
    RandomRule(seed=3, validation=0.2, test=0.2),
    DeclaredRule(seed=3, validation=0.25),
    KFoldRule(seed=3, k=3, fold=1, validation=0.25),
    LeaveGroupOutRule(seed=3, column="site", groups=("uz-leuven",), validation=0.25),
]
SITES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["", "monuseg", "monusac"]), st.sampled_from(["train", "test", ""])),
    min_size=1,
    max_size=60,
).map(
    lambda rows: pd.DataFrame(
        [(f"p{number}", cohort, part) for number, cohort, part in rows], columns=["patient", "cohort", "part"]
    )
)
FRACTION = st.floats(0, 0.45)
SEED = st.integers(0, 5)
ANY_RULE = st.one_of(
    st.builds(RandomRule, seed=SEED, validation=FRACTION, test=FRACTION),
    st.builds(DeclaredRule, seed=SEED, validation=FRACTION, cohorts=st.sampled_from([(), ("monuseg",)])),
    st.builds(KFoldRule, seed=SEED, k=st.just(4), fold=st.integers(0, 3), validation=FRACTION),
    st.builds(
        LeaveGroupOutRule, seed=SEED, column=st.just("cohort"), groups=st.just(("monusac",)), validation=FRACTION
    ),
)


@given(SITES, ANY_RULE, st.randoms())
def test_each_patient_has_one_part_whatever_the_order_of_rows(rows: pd.DataFrame, rule: SplitRule, random) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    parts = assign("site", rows, rule)
    assert set(parts) == set(rows["patient"])
    assert set(parts.values()) <= set(PARTS)
    assert assign("site", rows.iloc[order], rule) == parts
    if not isinstance(rule, DeclaredRule | LeaveGroupOutRule):
        assert "train" in parts.values()


@given(SITES, SEED)
def test_a_group_left_out_is_tested_with_all_rows_of_its_patients(rows: pd.DataFrame, seed: int) -> None:
    rule = LeaveGroupOutRule(seed=seed, column="cohort", groups=("monuseg",), validation=0.3)
    parts = assign("site", rows, rule)
    inside = set(rows.loc[rows["cohort"] == "monuseg", "patient"])
    assert {patient for patient, part in parts.items() if part == "test"} == inside


@given(SITES, st.integers(2, 6), SEED)
def test_every_patient_is_tested_in_one_fold(rows: pd.DataFrame, k: int, seed: int) -> None:
    tested: list[str] = []
    for fold in range(k):
        parts = assign("site", rows, KFoldRule(seed=seed, k=k, fold=fold, validation=0.2))
        tested += [patient for patient, part in parts.items() if part == "test"]
    patients = sorted(set(rows["patient"]))
    assert sorted(tested) == (patients if len(patients) > 1 else []), "a site's only patient always trains"


@given(SITES, SEED)
def test_declared_test_patients_are_tested_and_no_other(rows: pd.DataFrame, seed: int) -> None:
    declared = set(rows.loc[rows["part"] == "test", "patient"])
    of_cohort = set(rows.loc[(rows["part"] == "test") & (rows["cohort"] == "monuseg"), "patient"])
    for cohorts, expected in (((), declared), (("monuseg",), of_cohort)):
        parts = assign("site", rows, DeclaredRule(seed=seed, validation=0.3, cohorts=cohorts))
        assert {patient for patient, part in parts.items() if part == "test"} == expected


@given(st.integers(1, 200), SEED)
def test_fractions_are_those_asked_for(patients: int, seed: int) -> None:
    rows = pd.DataFrame({"patient": [f"p{number}" for number in range(patients)], "cohort": "", "part": ""})
    parts = list(assign("site", rows, RandomRule(seed=seed, validation=0.1, test=0.2)).values())
    assert abs(parts.count("test") - 0.2 * patients) <= 1
    assert abs(parts.count("validation") - 0.1 * patients) <= 1


def test_another_seed_is_another_split() -> None:
    rows = pd.DataFrame({"patient": [f"p{number}" for number in range(40)], "cohort": "", "part": ""})
    splits = [assign("site", rows, RandomRule(seed=seed, validation=0.2, test=0.2)) for seed in (0, 1)]
    assert splits[0] != splits[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["tiles", "samples"])
def test_the_pools_split_is_the_union_of_the_sites_splits(pooled, rule: SplitRule, name: str) -> None:
    whole = make_split(open_dataset(pooled.centre, name), rule, "whole")
    sites = [make_split(open_dataset(lake, name), rule, "site") for lake in pooled.sites.values()]
    for part in PARTS:
        assert getattr(whole, part), f"{part} is empty, so nothing is compared"
        assert sorted(patient for split in sites for patient in getattr(split, part)) == list(getattr(whole, part))


def test_the_rows_of_the_parts_are_the_datasets_rows(pooled) -> None:
    dataset = open_dataset(pooled.centre, "tiles")
    split = make_split(dataset, RULES[0], "split")
    rows = {part: split.rows(dataset, part) for part in PARTS}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(dataset.rows))
    patients = dataset.index(["patient"])["patient"]
    assert set(patients[rows["test"]]) == set(split.test)


def test_a_split_belongs_to_one_content(pooled) -> None:
    site, other = (open_dataset(lake, "tiles") for lake in pooled.sites.values())
    with pytest.raises(UserError, match="made for another content of dataset 'tiles'"):
        make_split(site, RULES[0], "split").rows(other, "train")


def test_a_split_is_saved_once(pooled, copy_of: Callable[[Lake], Lake]) -> None:
    lake = copy_of(pooled.centre)
    dataset = open_dataset(lake, "tiles")
    split = make_split(dataset, RULES[0], "frozen")
    save_split(lake, split)
    save_split(lake, split)
    assert load_split(lake, "frozen") == split
    with pytest.raises(UserError, match=r"splits/frozen: exists and differs; choose another name"):
        save_split(lake, make_split(dataset, RULES[2], "frozen"))
    assert load_split(lake, "frozen") == split


def test_a_split_that_leaks_or_leaves_out_is_refused(pooled, copy_of: Callable[[Lake], Lake]) -> None:
    lake = copy_of(pooled.centre)
    dataset = open_dataset(lake, "tiles")
    split = make_split(dataset, RULES[0], "edited")
    save_split(lake, split)
    file = Path(lake.path("splits", "edited", "split.json"))
    file.write_text(split.model_dump_json().replace(f'"test":["{split.test[0]}"', f'"test":["{split.train[0]}"'))
    with pytest.raises(DataError, match="leak: 1 patients are in more than one part"):
        load_split(lake, "edited")
    with pytest.raises(DataError, match="leaves out 1 patients"):
        split.model_copy(update={"train": split.train[1:]}).rows(dataset, "train")
    with pytest.raises(UserError, match="no split 'absent'; made: edited"):
        load_split(lake, "absent")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "random", "seed": 0, "validation": 0.5, "test": 0.5}, "leave patients to train on"),
        ({"rule": "kfold", "seed": 0, "k": 3, "fold": 3, "validation": 0.1}, "fold must be below k = 3"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict, message: str) -> None:
    split = {"name": "x", "dataset": "tiles", "dataset_sha256": "", "train": [], "validation": [], "test": []}
    with pytest.raises(UserError, match=message):
        parse(Split, {**split, "rule": rule}, "split.json")

"""Pairs and drugs held out: every one once, nothing on both sides."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.tasks.drug_response.holdout import drug_folds, in_drug_fold, in_pair_fold, only
from support.samples import sample_rows

DRUGS = [f"d{number}" for number in range(11)]


def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, int, float]]:
    return [
        (row["patient"], int(drug), float(value))
        for row in rows
        for drug, value in zip(row["drug"], row["response"], strict=True)
    ]


@given(st.integers(2, 6), st.integers(0, 9), st.sampled_from(["pair", "drug"]))
def test_each_pair_is_tested_once_and_never_trained_on_then(k: int, seed: int, kind: str) -> None:
    rows = sample_rows(DRUGS, samples=9, seed=1)
    folds = drug_folds(DRUGS, k, seed)
    tested: list[tuple[str, int, float]] = []
    for fold in range(k):
        keep = in_pair_fold(DRUGS, k, seed, fold) if kind == "pair" else in_drug_fold(folds, fold)
        train, test = (only(rows, keep, inside=inside) for inside in (False, True))
        assert not set(pairs(train)) & set(pairs(test))
        assert sorted(pairs(train) + pairs(test)) == sorted(pairs(rows))
        if kind == "drug":
            assert not {pair[1] for pair in pairs(train)} & {pair[1] for pair in pairs(test)}
        tested += pairs(test)
    assert sorted(tested) == sorted(pairs(rows))


def test_folds_are_even_and_depend_on_names_not_on_order() -> None:
    folds = drug_folds(DRUGS, 4, seed=2)
    assert np.bincount(folds).tolist() == [3, 3, 3, 2]
    assert drug_folds(DRUGS[::-1], 4, seed=2)[::-1].tolist() == folds.tolist()
    assert drug_folds(DRUGS, 4, seed=3).tolist() != folds.tolist()

"""Planted leaks are found and named; honest sides pass."""

from typing import Any

import numpy as np
import pytest

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response.holdout import in_pair_fold, only
from oncotrain.tasks.drug_response.leaks import copied_genes, near_duplicates, require_no_leak
from oncotrain.tasks.drug_response.response import response_matrix
from support.samples import sample_rows

from .conftest import DRUGS


@pytest.fixture
def sides(plan_of) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
    rows = sample_rows(DRUGS, samples=80, seed=7)
    return plan_of(rows[:60]), rows[:60], rows[60:]


def test_honest_sides_pass(sides) -> None:
    require_no_leak(*sides)


def test_a_response_copied_into_a_gene_is_caught(sides) -> None:
    plan, train, test = sides
    for row in [*train, *test]:
        place = np.flatnonzero(row["drug"] == 1)
        if len(place):
            row["expression"][4] = 2 * row["response"][place[0]] - 1
    with pytest.raises(DataError, match="gene G04 copies the response to bosutinib"):
        require_no_leak(plan, train, test)


def test_a_line_under_another_name_is_caught(sides) -> None:
    plan, train, test = sides
    noise = np.random.default_rng(0).normal(scale=0.01, size=len(train[3]["expression"])).astype(np.float32)
    alias = {**test[0], "expression": train[3]["expression"] + noise}
    with pytest.raises(DataError, match="1 test profiles nearly equal a training profile"):
        require_no_leak(plan, train, [alias, *test[1:]])
    assert not near_duplicates(plan, train, test)


def test_a_split_is_asked_for_both(sides, task) -> None:
    plan, train, test = sides
    assert not task.leaks(plan, lambda: train, lambda: test)
    for row in train:
        if 2 in row["drug"]:
            row["expression"][7] = row["response"][row["drug"] == 2][0]
    alias = {**test[0], "expression": train[3]["expression"]}
    assert len(task.leaks(plan, lambda: train, lambda: [alias])) == 2
    assert not task.leaks(
        plan, lambda: [{**row, "drug": row["drug"][:0], "response": row["response"][:0]} for row in train], list
    )


def test_a_copy_is_found_by_the_rows_that_have_the_response(sides) -> None:
    """Against NumPy's correlations, gene by gene and drug by drug, at a threshold that some of them pass."""
    plan, train, test = sides
    rows = [*train, *test]
    genes = np.stack([row["expression"] for row in rows])
    expected = set()
    for drug, values in enumerate(response_matrix(rows, len(DRUGS)).T):
        seen = ~np.isnan(values)
        for gene in range(genes.shape[1]):
            if abs(np.corrcoef(genes[seen, gene], values[seen])[0, 1]) > 0.6:
                expected.add(f"gene {plan['genes'][gene]} copies the response to {plan['drugs'][drug]}")
    found = copied_genes(plan, iter(rows), threshold=0.6)
    assert 0 < len(expected) <= 3
    assert set(found) == expected


def test_a_patient_on_both_sides_is_caught(sides) -> None:
    plan, train, test = sides
    with pytest.raises(DataError, match="1 patients are on both sides"):
        require_no_leak(plan, train, [{**test[0], "patient": train[0]["patient"]}, *test[1:]])


def test_held_out_pairs_may_share_samples_but_no_pair(sides) -> None:
    plan, train, _ = sides
    keep = in_pair_fold(plan["drugs"], 5, 0, 0)
    inside, outside = only(train, keep, inside=True), only(train, keep, inside=False)
    require_no_leak(plan, outside, inside, shared_samples=True)
    with pytest.raises(DataError, match="pairs are on both sides"):
        require_no_leak(plan, train, inside, shared_samples=True)

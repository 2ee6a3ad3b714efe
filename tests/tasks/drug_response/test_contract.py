"""What participants must share, and rows brought to it."""

import numpy as np
import pytest

from oncotrain.errors import UserError
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import GENES, features, sample_rows


def test_the_common_contract_has_the_union_of_drugs(task: DrugResponse) -> None:
    contracts = [task.contract(features(drugs)) for drugs in (["b", "d"], ["a", "d"])]
    assert task.agree(contracts)["drugs"] == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("genes", ["TP53", *GENES], "TP53"),
        ("genes", GENES[::-1], "order"),
        ("response", "AUC", "AUC"),
        ("clinical", {"tissue": {"type": "category", "categories": ["blood"]}, "age": {}}, "tissue"),
    ],
)
def test_a_difference_is_named(task: DrugResponse, key: str, value: object, named: str) -> None:
    ours, theirs = features(["a"]), {**features(["a"]), key: value}
    with pytest.raises(UserError, match=rf"^{key}: .*{named}"):
        task.agree([task.contract(ours), task.contract(theirs)])
    with pytest.raises(UserError, match=rf"^{key}: .*{named}"):
        task.adapt(theirs, task.contract(ours))


def test_a_clinical_column_that_a_dataset_lacks_is_named(task: DrugResponse) -> None:
    with pytest.raises(UserError, match=r"task\.clinical.*'age'.*tissue"):
        task.contract({**features(["a"]), "clinical": {"tissue": {}}})


def test_unused_clinical_columns_may_differ(task: DrugResponse) -> None:
    other = features(["a"])
    other["clinical"] = {**other["clinical"], "race": {"type": "category", "categories": ["x"]}}
    task.agree([task.contract(features(["a"])), task.contract(other)])


def test_drugs_are_matched_by_name(task: DrugResponse) -> None:
    """Two sites' rows mean the same in one batch, whatever their own lists of drugs."""
    agreed = task.agree([task.contract(features(drugs)) for drugs in (["b", "d"], ["a", "c", "d"])])
    (row,) = sample_rows(["a", "c", "d"], samples=1, seed=0)
    row |= {"drug": np.array([2, 0], np.int32), "response": np.array([7.0, 5.0], np.float32)}

    adapted = task.adapt(features(["a", "c", "d"]), agreed)(row)

    named = {agreed["drugs"][drug]: value for drug, value in zip(adapted["drug"], adapted["response"], strict=True)}
    assert named == {"d": 7.0, "a": 5.0}
    assert row["drug"].tolist() == [2, 0]


def test_rows_of_the_agreed_dataset_stay_as_they_are(task: DrugResponse) -> None:
    (row,) = sample_rows(["a", "b"], samples=1, seed=0)
    assert task.adapt(features(["a", "b"]), task.contract(features(["a", "b"])))(row) is row


def test_a_drug_that_the_plan_does_not_know_is_refused(task: DrugResponse) -> None:
    with pytest.raises(UserError, match=r"drugs: .*'novel'"):
        task.adapt(features(["a", "novel"]), task.contract(features(["a", "b"])))

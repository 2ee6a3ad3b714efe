"""What drugs have in common lets the network predict one that nobody was tested with."""

from typing import Any

import numpy as np
import pytest
import torch

from oncotrain.errors import UserError
from oncotrain.tasks import create_task
from oncotrain.tasks.drug_response.config import DrugResponseConfig
from oncotrain.tasks.drug_response.fingerprint import fingerprint
from oncotrain.tasks.drug_response.terms import term_matrix
from support.samples import GENES, features

from .test_task import trained

DRUGS = [f"{kind}{number}" for kind in "AB" for number in range(4)]
NEW = ("A3", "B3")
TERMS = {drug: (f"target {drug[0]}",) for drug in DRUGS}


def measured_rows(samples: int, drugs: list[int], seed: int) -> list[dict[str, Any]]:
    """The A follow the first gene, the B the second."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(samples):
        expression = rng.normal(size=len(GENES)).astype(np.float32)
        response = [expression[0 if DRUGS[drug][0] == "A" else 1] + 0.2 * rng.normal() for drug in drugs]
        measured = {"drug": np.array(drugs, np.int32), "response": np.array(response, np.float32)}
        rows.append({"patient": f"p{number}", "expression": expression, **measured})
    return rows


@pytest.mark.parametrize(("terms", "lowest", "highest"), [(TERMS, 0.8, 1), ({}, -0.6, 0.6)])
def test_a_drug_without_training_pairs_is_predicted_by_its_terms(terms, lowest, highest) -> None:
    task = create_task({"name": "drug_response", "terms": terms, "network": {"width": 32, "dropout": 0.1}}, "test.yaml")
    known = [at for at, drug in enumerate(DRUGS) if drug not in NEW]
    new = [DRUGS.index(drug) for drug in NEW]
    contract = task.contract(features(DRUGS))
    train, test = measured_rows(150, known, seed=1), measured_rows(100, new, seed=2)
    plan = task.plan(contract, task.statistics(contract, train, 1))
    model = trained(task, plan, train)
    with torch.inference_mode():
        predicted = np.stack([task.infer(model, plan, row)["standardized"][new] for row in test])
    true = np.stack([row["response"] for row in test])
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in zip(predicted.T, true.T, strict=True)]
    assert lowest < np.mean(correlations) < highest


def test_a_row_tells_which_terms_a_drug_has() -> None:
    terms = {"A": ("target x", "pathway y"), "B": ("pathway y",), "nobody tests this": ("target z",)}
    found = term_matrix(["A", "A [earlier]", "B", "C"], terms, ["earlier"])
    root = np.sqrt
    expected = [[1, 1, 1] / root(3), [1, 1, 1] / root(3), [1, 1, 0] / root(2), [1, 0, 0]]
    assert found == pytest.approx(np.array(expected), rel=1e-6)
    assert found.dtype == np.float32
    assert term_matrix(["A [earlier]"], terms).tolist() == [[1.0]], "no label was declared: a drug of its own"


ASPIRIN, SALICYLIC_ACID, CAFFEINE = "CC(=O)OC1=CC=CC=C1C(=O)O", "OC1=CC=CC=C1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"


def test_drugs_of_like_structure_share_bits() -> None:
    aspirin, salicylic_acid, caffeine = (set(fingerprint(smiles)) for smiles in (ASPIRIN, SALICYLIC_ACID, CAFFEINE))
    assert len(aspirin & salicylic_acid) > 2 * len(aspirin & caffeine)
    assert fingerprint("C1(C(=O)O)=CC=CC=C1OC(C)=O") == fingerprint(ASPIRIN), "the same molecule, written otherwise"


def test_structures_and_terms_describe_a_drug_together() -> None:
    config = DrugResponseConfig(terms={"A": ("target x",), "B": ("target x",)}, smiles={"A": ASPIRIN, "C": CAFFEINE})
    assert config.described() == {
        "A": ("target x", *fingerprint(ASPIRIN)),
        "B": ("target x",),
        "C": fingerprint(CAFFEINE),
    }


@pytest.mark.parametrize("smiles", ["Aspirin", "", "C1CC"])
def test_what_is_no_structure_is_named(smiles) -> None:
    with pytest.raises(UserError, match=rf"run\.yaml: key 'smiles'.*A: {smiles!r} is no SMILES"):
        create_task({"name": "drug_response", "smiles": {"A": smiles}}, "run.yaml")

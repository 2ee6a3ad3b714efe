"""Made-up samples with a known signal, as rows and features of a dataset, without a lake."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.tasks.drug_response.task import DrugResponse

GENES = [f"G{number:02d}" for number in range(20)]
CLINICAL = {
    "tissue": {"type": "category", "categories": ["blood", "lung", "skin"]},
    "age": {"type": "number", "unit": "years", "min": 0, "max": 120},
}


def features(drugs: Sequence[str]) -> dict[str, Any]:
    """A manifest's features."""
    return {"kind": "samples", "genes": GENES, "drugs": sorted(drugs), "response": "LN_IC50", "clinical": CLINICAL}


def sample_rows(drugs: Sequence[str], samples: int, seed: int, noise: float = 0.3) -> list[dict[str, Any]]:
    """Rows whose `drug` indexes the sorted `drugs`; about a third of the pairs and some clinical values are missing.

    A drug's response is a constant of its own, plus a linear function of the expression, plus noise.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(samples):
        expression = rng.normal(size=len(GENES)).astype(np.float32)
        drug = np.flatnonzero(rng.random(len(drugs)) < 0.67).astype(np.int32)
        response = [
            _potency(sorted(drugs)[index]) + _weights(sorted(drugs)[index]) @ expression + noise * rng.normal()
            for index in drug
        ]
        rows.append(
            {
                "sample": f"s{seed}-{number}",
                "patient": f"s{seed}-{number}",
                "expression": expression,
                "clinical_tissue": None if number % 7 == 6 else CLINICAL["tissue"]["categories"][number % 3],
                "clinical_age": None if number % 5 == 4 else 40.0 + number % 30,
                "drug": drug,
                "response": np.array(response, np.float32),
            }
        )
    return rows


def agreed_plan(
    task: DrugResponse, drugs: Sequence[str], sites: Sequence[Sequence[Mapping[str, Any]]], floor: int = 1
) -> dict[str, Any]:
    """The plan that participants with these rows over all of `drugs` agree on, the task's fits among it."""
    contract = task.contract(features(drugs))
    plan = task.plan(contract, task.merge_statistics([task.statistics(contract, rows, floor) for rows in sites]))
    for fit in task.fits:
        plan = fit.fitted(plan, [fit.sums(plan, iter(rows), floor) for rows in sites])
    return plan


def _potency(drug: str) -> float:
    return float(np.random.default_rng([0, *drug.encode()]).normal(scale=3))


def _weights(drug: str) -> np.ndarray:
    return np.random.default_rng([1, *drug.encode()]).normal(size=len(GENES)) / len(GENES) ** 0.5

"""Normalization by quantiles as a fit of the run: the plan takes the table of normal scores."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from oncotrain.tasks.drug_response.arrays import to_text
from oncotrain.tasks.drug_response.blocks import blocks
from oncotrain.tasks.drug_response.inputs import standardized
from oncotrain.tasks.drug_response.quantiles import BINS, histogram, score_table, withhold
from oncotrain.tasks.floor import items_of_enough
from oncotrain.tasks.task import Plan, Row, Sums


class QuantilesFit:
    """The plan's `scores`, an array as text (`quantiles.score_table`)."""

    name = "quantiles"

    def sums(self, plan: Plan, rows: Iterable[Row], floor: int) -> Sums:
        counts = np.zeros((len(plan["genes"]), BINS + 2))
        patients: Counter[str] = Counter()
        for block in blocks(rows):
            counts += histogram(standardized(block, plan)[0])
            patients.update(row["patient"] for row in block)
        return {"counts": withhold(counts, items_of_enough(patients, floor))}

    def fitted(self, plan: Plan, parts: Sequence[Sums]) -> Plan:
        return {**plan, "scores": to_text(score_table(np.sum([part["counts"] for part in parts], axis=0)))}

"""The ridge beside the network as the two fits of a run: the axes, then the ridge on them; the plan takes both.

Both see the rows of all participants through sums alone, so that one participant with all rows, or many with some each,
get the same ridge.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from oncotrain.tasks.drug_response.arrays import from_text, to_text
from oncotrain.tasks.drug_response.blocks import blocks
from oncotrain.tasks.drug_response.config import RidgeConfig
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.ridge import FEWEST
from oncotrain.tasks.drug_response.response import judged, response_matrix
from oncotrain.tasks.drug_response.ridge.axes import Axes, add_axes_sums, agree_axes, axes_sums
from oncotrain.tasks.drug_response.ridge.shared import shared_sums, solve_shared
from oncotrain.tasks.drug_response.ridge.solve import solve_ridge
from oncotrain.tasks.drug_response.ridge.sums import gram_sums
from oncotrain.tasks.task import Fit, Plan, Row, Sums

_SEED = 0
"""Of the random matrix of the axes, the same in every run."""


def ridge_fits(config: RidgeConfig | None, auxiliary: Sequence[str]) -> tuple[Fit, ...]:
    """The fits of a run with these settings; `auxiliary` labels responses that are not judged."""
    if config is None:
        return ()
    ridge = SharedRidgeFit() if config.responses == "shared" else RidgeFit(tuple(auxiliary))
    return AxesFit(config.components), ridge


@dataclass(frozen=True)
class AxesFit:
    """The plan's `axes`, arrays as text: `centre` (inputs,) float64 and `axes` (inputs, k) float32."""

    components: int
    name = "axes"

    def sums(self, plan: Plan, rows: Iterable[Row], floor: int) -> Sums:  # noqa: ARG002 - sums over all rows at once
        parts = (axes_sums(input_matrix(block, plan), self.components, _SEED) for block in blocks(rows))
        return reduce(lambda one, other: add_axes_sums([one, other]), parts)

    def fitted(self, plan: Plan, parts: Sequence[Sums]) -> Plan:
        axes = agree_axes(parts, _SEED)
        return {**plan, "axes": {"centre": to_text(axes.centre), "axes": to_text(axes.axes.astype(np.float32))}}


@dataclass(frozen=True)
class RidgeFit:
    """The plan's `ridge`, arrays as text float64: `weights` (k, drugs) and `intercept` (drugs,), for each drug alone.

    It is 0, the drug's training mean, for `auxiliary` responses and for drugs of too few samples.
    """

    auxiliary: tuple[str, ...]
    name = "ridge"

    def sums(self, plan: Plan, rows: Iterable[Row], floor: int) -> Sums:
        coordinates, responses, patients = _projected(plan, rows)
        return gram_sums(coordinates, responses[:, judged(plan["drugs"], self.auxiliary)], patients, floor)

    def fitted(self, plan: Plan, parts: Sequence[Sums]) -> Plan:
        chosen = judged(plan["drugs"], self.auxiliary)
        solution = solve_ridge(parts, np.zeros(chosen.sum()), FEWEST)
        weights, intercept = np.zeros((len(solution.weights), len(chosen))), np.zeros(len(chosen))
        weights[:, chosen], intercept[chosen] = solution.weights, solution.intercept
        return {**plan, "ridge": {"weights": to_text(weights), "intercept": to_text(intercept)}}


@dataclass(frozen=True)
class SharedRidgeFit:
    """The plan's `ridge` as `RidgeFit` makes it, for all responses together, auxiliary ones among them."""

    name = "ridge"

    def sums(self, plan: Plan, rows: Iterable[Row], floor: int) -> Sums:
        return shared_sums(*_projected(plan, rows), floor)

    def fitted(self, plan: Plan, parts: Sequence[Sums]) -> Plan:
        linear = solve_shared(parts, from_text(plan["axes"]["axes"]).shape[1])
        return {**plan, "ridge": {"weights": to_text(linear.weights), "intercept": to_text(linear.intercept)}}


def _projected(plan: Plan, rows: Iterable[Row]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Coordinates (rows, k) on the agreed axes, standardized responses (rows, drugs), and the patient of each row."""
    axes = Axes(from_text(plan["axes"]["centre"]), from_text(plan["axes"]["axes"]).astype(np.float64))
    mean, std = np.array(plan["drug_mean"]), np.array(plan["drug_std"])
    coordinates, responses, patients = [], [], []
    for block in blocks(rows):
        coordinates.append(axes.project(input_matrix(block, plan)))
        responses.append((response_matrix(block, len(mean)) - mean) / std)
        patients += [str(row["patient"]) for row in block]
    return np.vstack(coordinates), np.vstack(responses), patients

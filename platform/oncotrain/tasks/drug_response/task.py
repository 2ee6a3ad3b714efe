"""The drug response task: the response of every sample to every drug, trained on the pairs that were observed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
import torch

from oncotrain.config import parse
from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.config import DrugResponseConfig
from oncotrain.tasks.drug_response.contract import common_contract, offered_contract, row_adapter
from oncotrain.tasks.drug_response.holdout import Keep
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.leaks import copied_genes, near_duplicates
from oncotrain.tasks.drug_response.loss import squared_error
from oncotrain.tasks.drug_response.model import FrozenRidge, ResponseNetwork
from oncotrain.tasks.drug_response.moments import add_moments, make_plan, training_moments
from oncotrain.tasks.drug_response.outcome import create_outcome
from oncotrain.tasks.drug_response.picture import scatter
from oncotrain.tasks.drug_response.quantiles_fit import QuantilesFit
from oncotrain.tasks.drug_response.response import judged, response_matrix
from oncotrain.tasks.drug_response.ridge.fits import ridge_fits
from oncotrain.tasks.drug_response.terms import term_matrix
from oncotrain.tasks.task import Fit, Plan, Row, Rows, Sums


def create(settings: Mapping[str, Any], source: str) -> "DrugResponse":
    """The task with these settings; `source` is quoted in errors. Raises UserError."""
    return DrugResponse(parse(DrugResponseConfig, settings, source))


class DrugResponse:
    """Implements `Task`. A unit is one sample; a prediction is `response` (drugs,) float32 in the plan's drug order."""

    name = "drug_response"
    dataset = "samples"
    unit = ("sample",)

    def __init__(self, config: DrugResponseConfig) -> None:
        self.config = config
        self.outcome = create_outcome(config)
        self.primary, self.metrics = self.outcome.primary, self.outcome.metrics
        batch = (config.batch.by,) if config.batch else ()
        self.columns = ("expression", "drug", "response", *batch, *map(clinical.column, config.clinical))
        quantiles = (QuantilesFit(),) if config.normalization == "quantiles" else ()
        self.fits: tuple[Fit, ...] = (*quantiles, *ridge_fits(config.ridge, config.auxiliary))

    def contract(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return offered_contract(features, self.config.clinical)

    def agree(self, contracts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return common_contract(contracts)

    def adapt(self, features: Mapping[str, Any], agreed: Mapping[str, Any]) -> Callable[[Row], Row]:
        return row_adapter(self.contract(features), agreed)

    def leaks(self, contract: Mapping[str, Any], train: Rows, test: Rows) -> Sequence[str]:
        moments = training_moments(contract, train())
        if not moments["response/n"].any():
            return ()
        plan = make_plan(contract, moments)
        return [*copied_genes(plan, chain(train(), test())), *near_duplicates(plan, train(), test())]

    def statistics(self, contract: Mapping[str, Any], rows: Iterable[Row], floor: int) -> Sums:
        return training_moments(contract, rows, self.config.batch, floor)

    def merge_statistics(self, parts: Sequence[Sums]) -> Sums:
        return add_moments(parts)

    def plan(self, contract: Mapping[str, Any], statistics: Sums) -> Plan:
        return {**make_plan(contract, statistics, self.config.batch), "clinical_weight": self.config.clinical_weight}

    def model(self, plan: Plan) -> torch.nn.Module:
        inputs = len(plan["genes"]) + clinical.width(plan["clinical"])
        ridge = FrozenRidge(plan) if self.config.ridge else None
        described = self.config.described()
        terms = term_matrix(plan["drugs"], described, self.config.auxiliary) if described else None
        return ResponseNetwork(inputs, len(plan["drugs"]), self.config.network, ridge, terms)

    def collate(
        self,
        rows: Sequence[Row],
        plan: Plan,
        rngs: Sequence[np.random.Generator] | None,  # noqa: ARG002 - of the Protocol; expression is not augmented
    ) -> dict[str, torch.Tensor]:
        """`inputs` (rows, inputs) and `response` (rows, drugs), standardized; `observed` (rows, drugs) bool."""
        response = response_matrix(rows, len(plan["drugs"]))
        observed = ~np.isnan(response)
        standardized = (response - np.array(plan["drug_mean"])) / np.array(plan["drug_std"])
        return {
            "inputs": torch.from_numpy(input_matrix(rows, plan)),
            "response": torch.from_numpy(np.where(observed, standardized, 0).astype(np.float32)),
            "observed": torch.from_numpy(observed),
        }

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return squared_error(model(batch["inputs"]), batch["response"], batch["observed"])

    def assemble(self, rows: Sequence[Row]) -> Row:
        (row,) = rows
        return row

    def infer(self, model: torch.nn.Module, plan: Plan, unit: Row) -> dict[str, np.ndarray]:
        """`standardized` (drugs,) float32: the mean of the members."""
        parameter = next(model.parameters())
        inputs = self.collate([unit], plan, None)["inputs"].to(parameter.device, parameter.dtype)
        return {"standardized": cast(ResponseNetwork, model).predict(inputs)[0].float().cpu().numpy()}

    def decisions(self) -> Sequence[dict[str, Any]]:
        return [{"shrinkage": factor} for factor in self.config.shrinkage]

    def decide(self, raw: Mapping[str, np.ndarray], plan: Plan, decision: Mapping[str, Any]) -> dict[str, np.ndarray]:
        deviation = raw["standardized"] * np.array(plan["drug_std"])
        response = np.array(plan["drug_mean"]) + decision["shrinkage"] * deviation
        return {"response": np.clip(response, *self.outcome.bounds).astype(np.float32)}

    def measure(self, unit: Row, prediction: Mapping[str, np.ndarray], plan: Plan) -> Sums:
        true = response_matrix([unit], len(plan["drugs"]))[0]
        counted = np.where(judged(plan["drugs"], self.config.auxiliary), true, np.nan)
        return self.outcome.sums(counted, prediction["response"])

    def judges(self, plan: Plan) -> Keep:
        """Which responses of an adapted row are judged: all but the auxiliary ones."""
        judged_drugs = judged(plan["drugs"], self.config.auxiliary)
        return lambda row: judged_drugs[row["drug"]]

    def merge(self, parts: Sequence[Sums]) -> Sums:
        return self.outcome.merge(parts)

    def told(self, sums: Sums, enough: int) -> Sums:
        return self.outcome.told(sums, enough)

    def figures(self, sums: Sums) -> dict[str, float]:
        return self.outcome.figures(sums)

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:
        return self.outcome.rank_figures(patients)

    def picture(self, units: Sequence[tuple[Row, Mapping[str, Mapping[str, np.ndarray]]]], plan: Plan) -> go.Figure:
        return scatter(units, plan["drugs"])

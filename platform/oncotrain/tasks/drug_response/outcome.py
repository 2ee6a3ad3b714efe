"""What a response is, and so how predictions are judged: numbers drug by drug, or whether a patient responded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oncotrain.errors import DataError
from oncotrain.tasks.drug_response import binary_metrics
from oncotrain.tasks.drug_response import metrics as number_metrics
from oncotrain.tasks.drug_response.config import DrugResponseConfig
from oncotrain.tasks.task import Sums


class Outcome(Protocol):
    """The part of the task that differs between kinds of response."""

    @property
    def primary(self) -> str:
        """The figure by which models are chosen."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all figures."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which predictions lie."""

    def sums(self, true: np.ndarray, predicted: np.ndarray) -> Sums:
        """Of one sample's responses (drugs,), NaN where there is none, and their predictions (drugs,)."""

    def merge(self, parts: Sequence[Sums]) -> Sums:
        """Sums of the union of disjoint sets of pairs."""

    def told(self, sums: Sums, enough: int) -> Sums:
        """The sums without cells of fewer than `enough` samples."""

    def figures(self, sums: Sums) -> dict[str, float]:
        """By the names in `metrics`; NaN where undefined."""

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:
        """What merged sums do not tell."""


def create_outcome(config: DrugResponseConfig) -> Outcome:
    """The outcome that the settings name."""
    return Binary() if config.outcome == "binary" else Continuous(config.minimum_samples)


@dataclass(frozen=True)
class Continuous:
    """A number, such as LN_IC50."""

    minimum_samples: int
    primary = "r2_per_drug"
    metrics = number_metrics.METRICS
    bounds = (-math.inf, math.inf)

    def sums(self, true: np.ndarray, predicted: np.ndarray) -> Sums:
        return number_metrics.pair_sums(true, predicted)

    def merge(self, parts: Sequence[Sums]) -> Sums:
        return number_metrics.merge_sums(parts)

    def told(self, sums: Sums, enough: int) -> Sums:
        return number_metrics.told_sums(sums, enough)

    def figures(self, sums: Sums) -> dict[str, float]:
        return number_metrics.response_figures(sums, self.minimum_samples)

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:
        return {"spearman_per_drug": number_metrics.spearman_per_drug(patients, self.minimum_samples)}


@dataclass(frozen=True)
class Binary:
    """1 for a responder, 0 for none; a prediction is a probability, learned by squared error."""

    primary = "auroc"
    metrics = binary_metrics.METRICS
    bounds = (0.0, 1.0)

    def sums(self, true: np.ndarray, predicted: np.ndarray) -> Sums:
        """Raises DataError for a response that is neither 0 nor 1."""
        seen = ~np.isnan(true)
        if not np.isin(true[seen], (0, 1)).all():
            raise DataError("key 'task.outcome' is binary, and the dataset has responses that are neither 0 nor 1")
        return binary_metrics.binary_sums(true[seen], predicted[seen])

    def merge(self, parts: Sequence[Sums]) -> Sums:
        return binary_metrics.merge_sums(parts)

    def told(self, sums: Sums, enough: int) -> Sums:  # noqa: ARG002 - histograms, over all patients together
        return sums

    def figures(self, sums: Sums) -> dict[str, float]:
        return binary_metrics.binary_figures(sums)

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:  # noqa: ARG002 - histograms have the ranks
        return {}

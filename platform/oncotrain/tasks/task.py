"""The seam between a use case and everything that trains, federates and compares it.

A use case is one folder beside this file: its schema contract, model, loss, prediction and metrics. Nothing above
this seam knows what a nucleus or a drug is; nothing below it knows how training is distributed.

Flow of one run, the same for every arm:

    features of each dataset --contract--> agree --> statistics (summable) --> plan --fits--> plan --> model
    rows as stored --adapt--> rows (the only ones that the verbs below and `statistics` see)
    rows --collate--> batch --loss--> (sum, count)
    rows of one unit --assemble--> unit --infer--> raw --decide--> prediction --measure--> sums --merge--> figures
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go
import torch

Row = Mapping[str, Any]
"""One decoded row of a dataset: column -> scalar, str or ndarray."""

Rows = Callable[[], Iterable[Row]]
"""Reads rows anew with each call: they need not fit into memory."""

Sums = dict[str, np.ndarray]
"""Float64 arrays from which figures follow exactly; what a site may send instead of rows."""

Plan = dict[str, Any]
"""JSON: what every participant agrees on before the first step (features, normalization, sizes)."""


class Fit(Protocol):
    """What is fitted in one go to sums over all participants' training rows, before training, and joins the plan.

    The sums are exact: a run that is to hide what a site sends has no fits, and a site's policy names those it allows.
    """

    @property
    def name(self) -> str:
        """As in a site's policy."""

    def sums(self, plan: Plan, rows: Iterable[Row], floor: int) -> Sums:
        """A participant's part, of its adapted training rows with their `patient`; no sum over fewer than `floor`."""

    def fitted(self, plan: Plan, parts: Sequence[Sums]) -> Plan:
        """The plan with what follows from all parts."""


class Task(Protocol):
    """A use case. Implementations hold their frozen configuration and no other state."""

    name: str
    dataset: str
    """Default name of the curated dataset."""
    columns: tuple[str, ...]
    """Columns that `collate`, `statistics` and `assemble` need."""
    unit: tuple[str, ...]
    """Key columns whose rows, contiguous in a dataset, make one unit of prediction, such as ('slide', 'region')."""
    primary: str
    """The figure by which epoch, decision and preset are chosen on validation patients; higher is better."""

    metrics: tuple[str, ...]
    """Names of what `figures` tells; ``pq_<class>`` stands for one figure of each class."""

    @property
    def fits(self) -> Sequence[Fit]:
        """One after the other, each from the plan that the one before completed; none for most tasks."""

    def contract(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """What a dataset offers (manifest's `features`), reduced to what participants must agree on. JSON."""

    def agree(self, contracts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One contract for all participants. Raises UserError naming the differing key where they cannot agree."""

    def adapt(self, features: Mapping[str, Any], agreed: Mapping[str, Any]) -> Callable[[Row], Row]:
        """What brings rows of a dataset with `features` to the `agreed` contract, or to the plan made from it.

        Whoever reads rows applies it to each, before every other verb.
        """

    def leaks(self, contract: Mapping[str, Any], train: Rows, test: Rows) -> Sequence[str]:
        """What training rows give away of test rows, in words; nothing if, as far as can be seen, nothing.

        Of adapted rows, with their `patient`, whose patients are disjoint already. Asked once, when a split is made.
        """

    def statistics(self, contract: Mapping[str, Any], rows: Iterable[Row], floor: int) -> Sums:
        """Moments of training rows with their `patient`, merged over participants with `merge_statistics`.

        No sum is over some of the rows that are of fewer than `floor` patients; whether all rows are, others decide.
        """

    def merge_statistics(self, parts: Sequence[Sums]) -> Sums:
        """Statistics of the union of the participants' rows."""

    def plan(self, contract: Mapping[str, Any], statistics: Sums) -> Plan:
        """The agreed plan; everything the model and `collate` need beside the configuration."""

    def model(self, plan: Plan) -> torch.nn.Module:
        """A freshly initialized model; the caller has seeded torch's generator."""

    def collate(
        self, rows: Sequence[Row], plan: Plan, rngs: Sequence[np.random.Generator] | None
    ) -> dict[str, torch.Tensor]:
        """A batch from `rows`; `rngs`, one a row, augment (training), None does not. Floats are float32."""

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """(sum, count), scalars: the sum over the batch's labelled items, and how many there are (not differentiable).

        The step minimizes (sum over all ranks) / (count over all ranks), so that shards of unequal size are exact.
        """

    def assemble(self, rows: Sequence[Row]) -> Row:
        """One unit, inputs and truth, from all of its rows (a whole image from its tiles)."""

    def infer(self, model: torch.nn.Module, plan: Plan, unit: Row) -> dict[str, np.ndarray]:
        """The model's raw output on one unit."""

    def decisions(self) -> Sequence[dict[str, Any]]:
        """Candidate post-processings (thresholds), JSON; the best by `primary` on validation patients is used."""

    def decide(self, raw: Mapping[str, np.ndarray], plan: Plan, decision: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The prediction as it is saved."""

    def measure(self, unit: Row, prediction: Mapping[str, np.ndarray], plan: Plan) -> Sums:
        """Sums of one unit's metrics."""

    def merge(self, parts: Sequence[Sums]) -> Sums:
        """Sums of the union of units; exact."""

    def told(self, sums: Sums, enough: int) -> Sums:
        """What of a participant's merged sums may leave it: nothing that is over some units, fewer than `enough`."""

    def figures(self, sums: Sums) -> dict[str, float]:
        """The figures that `sums` imply; NaN where undefined."""

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:
        """Figures that merged sums do not tell, from each patient's own: told where these are, and nowhere else."""

    def picture(self, units: Sequence[tuple[Row, Mapping[str, Mapping[str, np.ndarray]]]], plan: Plan) -> go.Figure:
        """What a person would look at: some assembled units, each with the predictions of several arms by name."""

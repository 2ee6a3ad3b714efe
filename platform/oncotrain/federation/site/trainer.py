"""What holds a site's dataset, model and optimizer through all rounds: the same on every rank of the site."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.disclosure import name_candidates
from oncotrain.federation.schedule import federated_section, federated_train
from oncotrain.federation.strategies.strategy import create_local_steps
from oncotrain.federation.strategies.weight import loss_count
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import Plan, Sums
from oncotrain.training.checkpoint import save_checkpoint
from oncotrain.training.collective import Collective, device, together
from oncotrain.training.data import RunData, local_fit_sums, local_statistics
from oncotrain.training.evaluation import find_units, predict, validate
from oncotrain.training.fit import StepLoss, fit
from oncotrain.training.process import prepare_process
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import TrainState, initial_state, set_parameters

Ask = Callable[[str, Parcel], Parcel]
"""A trainer's answer to a kind of question; what is asked and answered stays at the site."""


class Trainer:
    """Computes what the site's worker asks for. Ranks are asked the same in the same order.

    A UserError is raised on all ranks, or where no rank waits for another; any other exception ends the ranks.
    """

    def __init__(self, data: RunData, lake: Lake, config: RunConfig, source: str, collective: Collective) -> None:
        """Raises UserError where the configuration does not allow to train."""
        self.data, self.lake, self.collective = data, lake, collective
        self.federated = federated_section(config, source)
        self.train_config = federated_train(config.train, self.federated)
        self.local_steps = create_local_steps(self.federated, self.train_config)
        self.plan: Plan | None = None
        self.state: TrainState | None = None
        self.loss_count = 0.0
        self._answers: Mapping[str, Callable[[Parcel], Parcel]] = {
            "statistics": self._statistics,
            "fit": self._fit,
            "plan": self._take_plan,
            "train": self._train,
            "validation": self._validation,
            "test": self._test,
        }
        prepare_process(config.train.threads)

    def answer(self, kind: str, request: Parcel) -> Parcel:
        """The answer of rank 0; the others' need not be looked at."""
        return self._answers[kind](request)

    def _statistics(self, request: Parcel) -> Parcel:
        contract, floor = request.body["contract"], request.body["floor"]

        def computed() -> Sums:
            return local_statistics(self.data, contract, floor) if self.collective.rank == 0 else {}

        return Parcel(sums=together(self.collective, computed)[0])

    def _fit(self, request: Parcel) -> Parcel:
        fits = {fit.name: fit for fit in self.data.task.fits}
        name, plan, floor = (request.body[key] for key in ("fit", "plan", "floor"))
        if name not in fits:
            raise UserError(f"the task has no fit {name!r}")

        def computed() -> Sums:
            return local_fit_sums(self.data, fits[name], plan, floor) if self.collective.rank == 0 else {}

        return Parcel(sums=together(self.collective, computed)[0])

    def _take_plan(self, request: Parcel) -> Parcel:
        """With it comes a fresh model and optimizer."""
        plan: Plan = request.body["plan"]
        state = initial_state(self.data.task, plan, self.train_config, device(self.collective))
        mine = self.data.rows("train")[self.collective.rank :: self.collective.world]
        counts = together(self.collective, lambda: loss_count(state, self.data, mine, plan, self.train_config))
        self.plan, self.state, self.loss_count = plan, state, sum(counts)
        return Parcel()

    def _train(self, request: Parcel) -> Parcel:
        state, plan = self._ready()
        with _parameters_fit():
            correction = self.local_steps.begin(state.model, request)
        sums = self._validate(state, plan) if request.body["validate"] else {}
        self.state, history = fit(
            replace(state, step=request.body["step"]),
            self.federated.local_steps,
            task=self.data.task,
            plan=plan,
            dataset=self.data.dataset,
            rows=self.data.rows("train"),
            train=self.train_config,
            collective=self.collective,
            correction=correction,
        )
        metrics = {"loss_count": self.loss_count, "loss": _mean(history)}
        return Parcel({}, sums, self.local_steps.end(self.state.model, history), metrics)

    def _validation(self, request: Parcel) -> Parcel:
        return Parcel(sums=self._validate(*self._receive(request)))

    def _validate(self, state: TrainState, plan: Plan) -> Mapping[str, np.ndarray]:
        sums = validate(
            state.model,
            find_units(self.data.dataset, self.data.rows("validation"), self.data.task),
            task=self.data.task,
            plan=plan,
            dataset=self.data.dataset,
            collective=self.collective,
        )
        return name_candidates(sums)

    def _test(self, request: Parcel) -> Parcel:
        """Predict the test patients; predictions, checkpoint and figures by patient stay in the site's lake."""
        state, plan = self._receive(request)
        run = RunDirectory(self.lake, request.body["name"])
        patients = predict(
            state.model,
            find_units(self.data.dataset, self.data.rows("test"), self.data.task),
            request.body["decision"],
            run.write_prediction,
            task=self.data.task,
            plan=plan,
            dataset=self.data.dataset,
            collective=self.collective,
        )
        if self.collective.rank == 0:
            save_checkpoint(run, "best", state, {})
            run.write_patients(patients)
        return Parcel(sums=self.data.task.merge(list(patients.values())))

    def _receive(self, request: Parcel) -> tuple[TrainState, Plan]:
        """The model with the request's parameters, and the plan."""
        state, plan = self._ready()
        with _parameters_fit():
            set_parameters(state.model, request.parameters)
        return state, plan

    def _ready(self) -> tuple[TrainState, Plan]:
        assert self.state is not None and self.plan is not None, "the plan comes first"  # noqa: S101, PT018
        return self.state, self.plan


@contextmanager
def _parameters_fit() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"the parameters that came are not those of this model: {error}") from None


def _mean(history: list[StepLoss]) -> float:
    """Mean loss over all items of these steps; NaN where none was labelled."""
    counts = np.array([record.count for record in history])
    losses = np.array([record.loss if record.count else 0.0 for record in history])
    return float(losses @ counts / counts.sum()) if counts.any() else math.nan

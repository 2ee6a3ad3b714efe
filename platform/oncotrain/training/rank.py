"""What every rank of a centralized training does: train, validate, keep the best, test."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from oncotrain.config.training import RunConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.log import get_logger
from oncotrain.tasks import Plan, Sums
from oncotrain.training.checkpoint import load_checkpoint, newest_step, save_checkpoint, save_step
from oncotrain.training.collective import Collective, device
from oncotrain.training.data import RunData, open_data
from oncotrain.training.evaluation import choose, find_units, predict, validate
from oncotrain.training.fit import StepLoss, fit
from oncotrain.training.process import prepare_process
from oncotrain.training.run import RunDirectory, json_figures
from oncotrain.training.state import initial_state

Point = dict[str, Any]
"""One validation, JSON: step, loss (mean since the one before), decision, figures, cpu_seconds (all ranks, so far)."""


@dataclass(frozen=True)
class RankWork:
    """A run as it is sent to its ranks; each opens the data by itself."""

    run: RunDirectory
    lake: Lake
    version: str
    config: RunConfig
    plan: Plan
    source: str


Outcome = tuple[list[Point], dict[str, Sums], float]
"""The validations, the sums per test patient, and the CPU seconds of all ranks, earlier attempts included."""


def work_on_rank(work: RankWork, collective: Collective) -> Outcome:
    """Train from the newest checkpoint, or from the start, to the end; then test the best one."""
    prepare_process(work.config.train.threads)
    data = open_data(work.lake, work.config, work.source, work.version)
    points = _train(work, data, collective)
    began = time.process_time()
    state = initial_state(data.task, work.plan, work.config.train, device(collective))
    if collective.rank == 0:  # who wrote it: to the others it may not be there yet
        load_checkpoint(work.run, "best", state)
    collective.broadcast(list(state.model.state_dict().values()))
    patients = predict(
        state.model,
        find_units(data.dataset, data.rows("test"), data.task),
        best_point(points, data.task.primary)["decision"],
        work.run.write_prediction,
        task=data.task,
        plan=work.plan,
        dataset=data.dataset,
        collective=collective,
    )
    return points, patients, points[-1]["cpu_seconds"] + sum(collective.gather(time.process_time() - began))


def best_point(points: Sequence[Point], primary: str) -> Point:
    """The first validation with the best primary figure; an undefined figure (None) is below all others."""
    values = [point["figures"][primary] for point in points]
    return points[max(range(len(values)), key=lambda at: -math.inf if values[at] is None else values[at])]


def _train(work: RankWork, data: RunData, collective: Collective) -> list[Point]:
    """All validations of the run; leaves the best checkpoint and the newest ones in its directory."""
    began, started = time.process_time(), time.monotonic()
    train, task, plan, dataset = work.config.train, data.task, work.plan, data.dataset
    rows, units = data.rows("train"), find_units(dataset, data.rows("validation"), task)
    log = get_logger(run=work.run.name, stage="train")
    state = initial_state(task, plan, train, device(collective))
    points: list[Point] = []
    if newest := collective.gather(newest_step(work.run))[0]:
        state, progress = load_checkpoint(work.run, newest, state)
        points = progress["points"]
        log.info("going on from step %d", state.step)
    collective.broadcast(list(state.model.state_dict().values()))
    spent, first = points[-1]["cpu_seconds"] if points else 0.0, state.step
    while state.step < train.steps and not _exhausted(points, task.primary, train.patience):
        steps = min(train.validate_every - state.step % train.validate_every, train.steps - state.step)
        state, history = fit(
            state, steps, task=task, plan=plan, dataset=dataset, rows=rows, train=train, collective=collective
        )
        sums = validate(state.model, units, task=task, plan=plan, dataset=dataset, collective=collective)
        decision, figures = choose(task, sums)
        point = {
            "step": state.step,
            "loss": _mean(history),
            "decision": decision,
            "figures": json_figures(figures),
            "cpu_seconds": spent + sum(collective.gather(time.process_time() - began)),
        }
        points = [*points, point]
        if collective.rank == 0:
            if best_point(points, task.primary) is point:
                save_checkpoint(work.run, "best", state, {})
            work.run.write_metrics(points)
            save_step(work.run, state, {"points": points}, train.keep)
            left = (time.monotonic() - started) / (state.step - first) * (train.steps - state.step)
            log.info(
                "step %d of %d: loss %.4g, validation %s %.4f; %s left",
                *(
                    state.step,
                    train.steps,
                    math.nan if point["loss"] is None else point["loss"],
                    task.primary,
                    figures[task.primary],
                ),
                timedelta(seconds=round(left)),
            )
    return points


def _exhausted(points: Sequence[Point], primary: str, patience: int | None) -> bool:
    """Whether the last `patience` validations were not better than the best one before them."""
    return (
        patience is not None and len(points) > 0 and points.index(best_point(points, primary)) + patience < len(points)
    )


def _mean(history: Sequence[StepLoss]) -> float | None:
    """Mean loss of all items of these steps; None where no item was labelled."""
    count = sum(record.count for record in history)
    return sum(record.loss * record.count for record in history if record.count) / count if count else None

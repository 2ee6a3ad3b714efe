"""A training step on two ranks: Horovod beside DDP, connected ranks beside unconnected ones, and waiting for batches.

    python tests/benchmarks/training_step.py --lake URI [--config jobs/configs/drug_response.yaml] [--launches 5]

The lake holds the configuration's dataset (README has the commands that make one). Engines are launched in turn; each
launch takes 17 steps to warm up, then a repetition is 32 steps of each of three: both ranks together; each rank alone
on its half of the batch, two processes that share the machine but not the work; and each alone but for one number that
the ranks sum each step, which tells what it costs to be as slow as the slower one. They take turns of 16 steps, so that
a machine's slow minute meets all; one step more begins a turn and is not counted, for readers start with it. Batches
are whole ones: the last of an epoch may leave a rank without a row. Medians and ranges over all repetitions are
printed, and as JSON.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig, with_train
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session
from oncotrain.tasks import Plan
from oncotrain.training.collective import Alone, Collective
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.engines import create_engine
from oncotrain.training.fit import fit
from oncotrain.training.process import prepare_process
from oncotrain.training.state import initial_state, trainable

STEPS, TURN, RANKS = 32, 16, 2


Repetition = dict[str, float]
"""Seconds a step, but for the share.

together: of both ranks.
alone: harmonic mean over the ranks; two that work side by side do 2 / alone steps a second.
meeting: of ranks that sum one number and no gradient.
summing: in the sums of `together`, from the arrival of the last rank on.
batch_share: share of `together` that was waiting for the batch.
"""


class Meeting(Alone):
    """A single rank's collective, but for waiting for the others."""

    def __init__(self, collective: Collective) -> None:
        self._others = collective

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self._others.summed([torch.zeros(1)])
        return super().summed(tensors)


class Clocked:
    """A collective that notes when each sum began and ended."""

    def __init__(self, collective: Collective) -> None:
        self._collective = collective
        self.rank, self.world, self.local_rank = collective.rank, collective.world, collective.local_rank
        self.sums: list[tuple[float, float]] = []

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        began = time.perf_counter()
        sums = self._collective.summed(tensors)
        self.sums.append((began, time.perf_counter()))
        return sums

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        self._collective.broadcast(tensors)

    def gather(self, value: Any) -> list[Any]:
        return self._collective.gather(value)


class Training:
    """Goes on a turn at a time; seconds are those of all turns since `clear`."""

    def __init__(self, lake: Lake, config: RunConfig, plan: Plan, collective: Collective) -> None:
        data = open_data(lake, config, "training_step")
        rows = data.rows("train")
        whole = len(rows) // config.train.batch_size * config.train.batch_size
        self._arguments = {"task": data.task, "plan": plan, "dataset": data.dataset, "rows": rows[:whole]}
        self._train, self._collective = config.train, Clocked(collective)
        self._state = initial_state(data.task, plan, config.train)
        self.clear()

    def clear(self) -> None:
        self.seconds = self.waited = 0.0
        self.sums: list[float] = []

    def turn(self) -> None:
        self._collective.sums.clear()
        self._state, history = fit(
            self._state, 1 + TURN, **self._arguments, train=self._train, collective=self._collective
        )
        sums = np.array(self._collective.sums).reshape(1 + TURN, -1, 2)  # some steps have several
        self.seconds += sums[-1, -1, 1] - sums[0, -1, 1]
        self.waited += sum(record.waited for record in history[1:])
        self.sums += np.diff(sums[1:]).ravel().tolist()


@dataclass(frozen=True)
class Timing:
    """What a rank does; pickled by value. What it returns is pickled by name: nothing of this script's."""

    lake: Lake
    config: RunConfig
    plan: Plan
    repetitions: int

    def __call__(self, collective: Collective) -> list[Repetition]:
        prepare_process(1)
        half = with_train(self.config, {"batch_size": self.config.train.batch_size // RANKS}, "training_step")
        together = Training(self.lake, self.config, self.plan, collective)
        alone = Training(self.lake, half, self.plan, Alone())
        meeting = Training(self.lake, half, self.plan, Meeting(collective))
        trainings = (together, alone, meeting)
        _turns(trainings, collective, 1)  # to warm up
        return [_repetition(*trainings, collective) for _ in range(self.repetitions)]


def _turns(trainings: Sequence[Training], collective: Collective, turns: int) -> None:
    for training in trainings:
        training.clear()
    for _ in range(turns):
        for training in trainings:
            collective.gather(None)  # both ranks begin at once
            training.turn()


def _repetition(together: Training, alone: Training, meeting: Training, collective: Collective) -> Repetition:
    _turns((together, alone, meeting), collective, STEPS // TURN)
    sums = np.array(collective.gather(together.sums))  # (rank, sum): the last rank to arrive waits for nobody
    return {
        "together": together.seconds / STEPS,
        "alone": statistics.harmonic_mean(collective.gather(alone.seconds / STEPS)),
        "meeting": meeting.seconds / STEPS,
        "summing": float(sums.min(axis=0).sum()) / STEPS,
        "batch_share": together.waited / together.seconds,
    }


def main(
    lake: Annotated[str, typer.Option(help="a lake with the configuration's dataset")],
    config: Annotated[Path, typer.Option(help="the run whose steps are timed")] = Path(
        "jobs/configs/drug_response.yaml"
    ),
    repetitions: Annotated[int, typer.Option(min=1, help="of each launch")] = 2,
    launches: Annotated[int, typer.Option(min=1, help="of each engine, in turn")] = 5,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("training_step", lambda: measure(Lake(lake), load_yaml(config, RunConfig), repetitions, launches))


def measure(lake: Lake, config: RunConfig, repetitions: int, launches: int) -> dict[str, Any]:
    """Engines in turn, and their ratios."""
    spark = spark_session("training_step")
    data = open_data(lake, config, "training_step")
    plan = plan_alone(data)
    work = Timing(lake, config, plan, repetitions)
    found: dict[str, list[Repetition]] = {"horovod": [], "ddp": []}
    for _ in range(launches):
        for name, repeated in found.items():
            repeated += create_engine(name, spark).run(work, RANKS)[0]
    print(
        "| engine | ms a step, 2 ranks | its sum, ms | 2 ranks / unconnected | only meeting / unconnected"
        " | waits for its batch |\n|---|---|---|---|---|---|"
    )
    summary: dict[str, Any] = {"parameters": sum(p.numel() for p in trainable(data.task.model(plan)))}
    for name, repeated in found.items():
        summary[name] = {
            "step_ms": _spread([1000 * each["together"] for each in repeated]),
            "sum_ms": _spread([1000 * each["summing"] for each in repeated]),
            "throughput_of_unconnected": _spread([each["alone"] / each["together"] for each in repeated]),
            "meeting_of_unconnected": _spread([each["alone"] / each["meeting"] for each in repeated]),
            "batch_share": _spread([each["batch_share"] for each in repeated]),
        }
        step, summing, throughput, meeting, share = summary[name].values()
        print(
            f"| {name} | {step[1]:.1f} ({step[0]:.1f} to {step[2]:.1f}) | {summing[1]:.1f}"
            f" | {throughput[1]:.2f} ({throughput[0]:.2f} to {throughput[2]:.2f})"
            f" | {meeting[1]:.2f} ({meeting[0]:.2f} to {meeting[2]:.2f}) | {share[1]:.1%} |"
        )
    summary["horovod_over_ddp"] = summary["horovod"]["step_ms"][1] / summary["ddp"]["step_ms"][1]
    print(f"\nHorovod over DDP: {summary['horovod_over_ddp']:.2f}")
    return summary


def _spread(values: list[float]) -> list[float]:
    """Least, median, greatest."""
    return [min(values), statistics.median(values), max(values)]


if __name__ == "__main__":
    typer.run(main)

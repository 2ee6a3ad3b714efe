"""A training step on two ranks: Horovod beside DDP, connected ranks beside unconnected ones, and waiting for batches.

    python tests/benchmarks/training_step.py --lake URI [--config jobs/configs/drug_response.yaml] [--repetitions 5]

The lake holds the configuration's dataset (README has the commands that make one). Engines are launched in turn; each
launch takes 8 steps to warm up, then times 32 steps of both ranks together and, at once after it, 32 steps of each rank
alone on its half of the batch: two processes that share the machine but not the work. Medians and ranges over all
launches are printed, and as JSON.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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

STEPS, WARM_UP, RANKS = 32, 8, 2
Measured = dict[str, list[float]]


@dataclass(frozen=True)
class Timing:
    """What a rank does; pickled, so it names no module of this script's but its own class."""

    lake: Lake
    config: RunConfig
    plan: Plan
    repetitions: int

    def __call__(self, collective: Collective) -> Measured:
        """Seconds a step together and alone, and the share of a step that was waiting for the batch."""
        prepare_process(1)
        half = self.config.train.batch_size // collective.world
        alone = with_train(self.config, {"batch_size": half}, "training_step")
        measured: Measured = {"together": [], "alone": [], "waiting": []}
        for _ in range(self.repetitions):
            seconds, waited = self._steps(self.config, collective)
            measured["together"].append(seconds)
            measured["waiting"].append(waited / seconds)
            collective.gather(0)  # both start the next part together
            measured["alone"].append(self._steps(alone, Alone())[0])
            collective.gather(0)
        return measured

    def _steps(self, config: RunConfig, collective: Collective) -> tuple[float, float]:
        data = open_data(self.lake, config, "training_step")
        arguments = {"task": data.task, "plan": self.plan, "dataset": data.dataset, "rows": data.rows("train")}
        state = initial_state(data.task, self.plan, config.train)
        state, _ = fit(state, WARM_UP, **arguments, train=config.train, collective=collective)
        began = time.perf_counter()
        _, history = fit(state, STEPS, **arguments, train=config.train, collective=collective)
        first = history[0].waited  # readers start with the first step of a call
        seconds = time.perf_counter() - began - first
        return seconds / STEPS, (sum(record.waited for record in history) - first) / STEPS


def main(
    lake: Annotated[str, typer.Option(help="a lake with the configuration's dataset")],
    config: Annotated[Path, typer.Option(help="the run whose steps are timed")] = Path(
        "jobs/configs/drug_response.yaml"
    ),
    repetitions: Annotated[int, typer.Option(min=1, help="of each launch")] = 5,
    launches: Annotated[int, typer.Option(min=1, help="of each engine, in turn")] = 2,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("training_step", lambda: measure(Lake(lake), load_yaml(config, RunConfig), repetitions, launches))


def measure(lake: Lake, config: RunConfig, repetitions: int, launches: int) -> dict[str, Any]:
    """Engines in turn, and their ratios."""
    spark = spark_session("training_step")
    data = open_data(lake, config, "training_step")
    plan = plan_alone(data)
    work = Timing(lake, config, plan, repetitions)
    found: dict[str, Measured] = {name: {"together": [], "alone": [], "waiting": []} for name in ("horovod", "ddp")}
    for _ in range(launches):
        for name, measured in found.items():
            first = create_engine(name, spark).run(work, RANKS)[0]
            for key, values in first.items():
                measured[key] += values
    print(
        "| engine | ms a step, 2 ranks | range | 2 ranks / unconnected | waits for its batch |\n|---|---|---|---|---|"
    )
    summary: dict[str, Any] = {"parameters": sum(p.numel() for p in trainable(data.task.model(plan)))}
    for name, measured in found.items():
        step, alone = statistics.median(measured["together"]), statistics.median(measured["alone"])
        waiting = statistics.median(measured["waiting"])
        summary[name] = {
            "step_ms": [1000 * each for each in (min(measured["together"]), step, max(measured["together"]))],
            "throughput_of_unconnected": alone / step,
            "waiting_share": waiting,
        }
        low, middle, high = summary[name]["step_ms"]
        print(f"| {name} | {middle:.1f} | {low:.1f} to {high:.1f} | {alone / step:.2f} | {waiting:.1%} |")
    summary["horovod_over_ddp"] = summary["horovod"]["step_ms"][1] / summary["ddp"]["step_ms"][1]
    print(f"\nHorovod over DDP: {summary['horovod_over_ddp']:.2f}")
    return summary


if __name__ == "__main__":
    typer.run(main)

"""A site's round beyond training: two ranks in Spark tasks beside the trainer in the client's own process.

    python tests/benchmarks/site_ranks.py --lake URI --config YAML [--rounds 8]

Both are asked to train the same rounds of one step. What two ranks take longer is what their connection, the passing on
among them and the sum of gradients cost, less what the shared step saves.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig, with_train
from oncotrain.federation.site.rank_loop import SiteWork
from oncotrain.federation.site.ranks import training_ranks
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.state import get_parameters, initial_state

WAYS = {"single": 1, "horovod": 2}


def main(
    lake: Annotated[str, typer.Option(help="a lake with the configuration's dataset")],
    config: Annotated[Path, typer.Option(help="with a federated section; its local_steps are taken as 1")],
    rounds: Annotated[int, typer.Option(min=2, help="of each way, the first of which is left out")] = 8,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("site_ranks", lambda: measure(Lake(lake), load_yaml(config, RunConfig), rounds))


def measure(lake: Lake, config: RunConfig, rounds: int) -> dict[str, Any]:
    """Seconds until the ranks are there, and a round, of both ways."""
    assert config.federated is not None, "the configuration has a federated section"
    one_step = config.model_copy(update={"federated": config.federated.model_copy(update={"local_steps": 1})})
    data = open_data(lake, config, "benchmark")
    plan = plan_alone(data)
    parameters = get_parameters(initial_state(data.task, plan, config.train).model)
    summary: dict[str, Any] = {"parameters": sum(each.size for each in parameters)}
    print("| way | s until ready | s a round | range |\n|---|---|---|---|")
    for engine, ranks in WAYS.items():
        own = with_train(one_step, {"engine": engine, "ranks": ranks}, "benchmark")
        work = SiteWork(lake, data.dataset.manifest.version, own, "benchmark")
        spark, began = spark_session("site_ranks"), time.monotonic()
        with training_ranks(spark, data, work) as ask:
            ready, seconds = time.monotonic() - began, []
            ask("plan", Parcel({"plan": plan}))
            for number in range(rounds):
                asked = time.monotonic()
                ask("train", Parcel({"step": number, "validate": False}, {}, parameters))
                seconds.append(time.monotonic() - asked)
        low, middle, high = min(seconds[1:]), statistics.median(seconds[1:]), max(seconds[1:])
        summary[f"{engine} {ranks}"] = {"ready": ready, "round": [low, middle, high]}
        print(f"| {engine}, {ranks} | {ready:.1f} | {middle:.3f} | {low:.3f} to {high:.3f} |")
    return summary


if __name__ == "__main__":
    typer.run(main)

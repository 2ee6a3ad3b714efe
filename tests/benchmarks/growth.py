"""What training costs a row as the rows grow: 1, 4 and 16 times as many, on one rank and on two.

    python tests/benchmarks/growth.py --lake URI --work DIR [--config jobs/configs/drug_response.yaml]

The lake holds a dataset of samples; in DIR it is published again with every row several times, each time of another
patient. One epoch is timed, three times for each number of rows and ranks; medians and ranges are printed, and as JSON.
"""

import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import write_dataset, write_part
from oncotrain.spark import spark_session
from oncotrain.tasks import Plan, create_task
from oncotrain.training.collective import Collective
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.engines import create_engine
from oncotrain.training.fit import fit
from oncotrain.training.process import prepare_process
from oncotrain.training.sampling import steps_per_epoch
from oncotrain.training.state import initial_state

TIMES, RANKS, REPETITIONS = (1, 4, 16), (1, 2), 3
KEYS = ("patient", "sample")


@dataclass(frozen=True)
class Epochs:
    """What a rank does: seconds of each epoch."""

    dataset: Dataset
    config: RunConfig
    plan: Plan

    def __call__(self, collective: Collective) -> list[float]:
        prepare_process(1)
        task, train, rows = create_task(self.config.task, "growth"), self.config.train, np.arange(self.dataset.rows)
        arguments = {"task": task, "plan": self.plan, "dataset": self.dataset, "rows": rows, "train": train}
        state = initial_state(task, self.plan, train)
        state, _ = fit(state, 4, **arguments, collective=collective)  # warms up
        seconds = []
        for _ in range(REPETITIONS):
            collective.gather(0)
            began = time.perf_counter()
            state, _ = fit(state, steps_per_epoch(len(rows), train.batch_size), **arguments, collective=collective)
            seconds.append(time.perf_counter() - began)
        return seconds


def main(
    lake: Annotated[str, typer.Option(help="a lake with a dataset of samples")],
    work: Annotated[Path, typer.Option(help="folder for the larger datasets; kept and used again")],
    config: Annotated[Path, typer.Option(help="the run whose epochs are timed")] = Path(
        "jobs/configs/drug_response.yaml"
    ),
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("growth", lambda: measure(Lake(lake), work.resolve(), load_yaml(config, RunConfig)))


def measure(lake: Lake, work: Path, config: RunConfig) -> dict[str, Any]:
    """Milliseconds a row by number of rows and ranks."""
    spark = spark_session("growth")
    data = open_data(lake, config, "growth")
    source, plan = data.dataset, plan_alone(data)
    found: dict[str, list[float]] = {}
    print("| rows | ranks | ms a row | range |\n|---|---|---|---|")
    for times, ranks in itertools.product(TIMES, RANKS):
        dataset = _repeated(spark, source, Lake((work / f"{times}x").as_uri()), times)
        engine = create_engine("single" if ranks == 1 else config.train.engine, spark)
        cost = [1000 * seconds / dataset.rows for seconds in engine.run(Epochs(dataset, config, plan), ranks)[0]]
        found[f"{dataset.rows} rows, {ranks} ranks"] = [min(cost), statistics.median(cost), max(cost)]
        low, middle, high = found[f"{dataset.rows} rows, {ranks} ranks"]
        print(f"| {dataset.rows} | {ranks} | {middle:.3f} | {low:.3f} to {high:.3f} |")
    return found


def _repeated(spark: SparkSession, source: Dataset, lake: Lake, times: int) -> Dataset:
    """A dataset with every row of `source` `times` times."""
    apply_layout(lake)

    def rows() -> Iterator[dict[str, Any]]:
        for copy in range(times):
            for row in source.iterate(list(source.schema.fields)):
                yield row | {key: f"{row[key]}-{copy}" for key in KEYS}

    if not lake.list("curated", "samples"):
        with staging(lake) as folder:
            part, manifest = f"{folder}/part.parquet", source.manifest
            write_part(lake.fs, part, source.schema, rows())
            write_dataset(
                spark,
                lake,
                "samples",
                kind=manifest.kind,
                schema=source.schema,
                parts=[part],
                features=manifest.features,
                inputs={},
            )
    return open_dataset(lake, "samples")


if __name__ == "__main__":
    typer.run(main)

"""Ingest of a large expression matrix beside a bare pyarrow conversion, and training from what was ingested.

    python tests/benchmarks/matrix_ingest.py --work DIR [--genes 20000] [--samples 10000] [--columns] [--times 3]

Makes a CSV.gz of that size, samples as rows or with `--columns` as columns, and ingests it on `local[2]`: the whole
job, from three files to a published dataset. The bare way reads the same file with pyarrow into one table and writes it
as one Parquet file, on both cores. Ways take turns; medians and ranges are printed, and the same as JSON. Spark's start
and its workers' imports are not counted: a small matrix goes first. `worker_mib` is the largest resident set of any
worker. Then steps of the network (512 wide, batches of 65, one thread) from the dataset by `fit`, beside a bare loop
over the same batches as tensors in memory.
"""

import gzip
import shutil
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow.csv as pc
import pyarrow.parquet as pq
import typer
from pyspark.sql import SparkSession
from slide_ingest import Peak

from oncotrain.config.expression import ExpressionConfig
from oncotrain.config.training import RunConfig
from oncotrain.expression.ingest import ingest_expression
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.spark import spark_session
from oncotrain.training.collective import Alone
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.fit import fit
from oncotrain.training.loader import batches
from oncotrain.training.process import prepare_process
from oncotrain.training.state import initial_state

STEPS, WARM_UP = 40, 4
INGEST = ExpressionConfig.model_validate({"genes": {"namespace": "as_written"}})
RUN = RunConfig.model_validate(
    {
        "task": {"name": "drug_response", "network": {"members": 2, "width": 512}},
        "split": {"name": "patients", "rule": {"rule": "random", "seed": 0, "validation": 0.05, "test": 0.2}},
        "train": {"steps": 250, "batch_size": 65, "engine": "single", "ranks": 1},
    }
)


def main(
    work: Annotated[Path, typer.Option(help="folder for matrices and lakes; matrices are kept")],
    genes: int = 20_000,
    samples: int = 10_000,
    columns: Annotated[bool, typer.Option(help="samples as columns")] = False,
    times: Annotated[int, typer.Option(help="how often each way is measured")] = 3,
) -> None:
    """Print the tables; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        spark = spark_session("matrix_ingest")
        _ingest(spark, work / "warm", write_matrix(work, 100, 50, columns=columns))
        ingested = measure_ingest(spark, work, write_matrix(work, genes, samples, columns=columns), times)
        spark.stop()
        return {**ingested, **measure_steps(_lake(work / "lake"), times)}

    run_job("matrix_ingest", job)


def write_matrix(work: Path, genes: int, samples: int, *, columns: bool) -> Path:
    """The matrix, unless it is there, with a table of the samples and their responses beside it."""
    path = work / f"{samples}x{genes}{'-columns' if columns else ''}.csv.gz"
    names = [f"S{number:05d}" for number in range(samples)], [f"G{number:05d}" for number in range(genes)]
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    responses = {"sample": names[0], "patient": names[0], "drug": "drug", "LN_IC50": rng.normal(size=samples).round(3)}
    pd.DataFrame(responses).to_csv(path.with_suffix(".table.csv"), index=False)
    if path.exists():
        return path
    rows, header = reversed(names) if columns else names
    cells = np.array([f",{value:.4f}" for value in rng.uniform(1, 9, 10_000)], "S7")
    partial = path.with_suffix(".part")
    with gzip.open(partial, "wb", compresslevel=1) as file:
        file.write(",".join(["", *header]).encode())
        for name in rows:
            file.write(b"\n" + name.encode() + cells[rng.integers(0, len(cells), len(header))].tobytes())
    partial.rename(path)
    return path


def measure_ingest(spark: SparkSession, work: Path, matrix: Path, times: int) -> dict[str, Any]:
    """Seconds of both ways, by round."""
    found: dict[str, list[float]] = {"oncotrain": [], "bare pyarrow": []}
    worker = 0
    for _ in range(times):
        with Peak() as peak:
            found["oncotrain"].append(_ingest(spark, work / "lake", matrix))
        worker = max(worker, peak.bytes)
        found["bare pyarrow"].append(_bare(matrix, work / "bare.parquet"))
    print("| way | seconds | range |\n|---|---|---|")
    for way, seconds in found.items():
        print(f"| {way} | {statistics.median(seconds):.1f} | {min(seconds):.1f} to {max(seconds):.1f} |")
    rate = statistics.median(np.divide(found["bare pyarrow"], found["oncotrain"]))
    print(f"\nrate over bare pyarrow: {rate:.2f}; largest worker: {worker >> 20} MiB", flush=True)
    return {"matrix": matrix.name, "seconds": found, "rate_over_bare": round(rate, 2), "worker_mib": worker >> 20}


def measure_steps(lake: Lake, times: int) -> dict[str, Any]:
    """Milliseconds a step from the dataset and from memory, in turns."""
    prepare_process(1)
    data = open_data(lake, RUN, "matrix_ingest")
    plan, train = plan_alone(data), RUN.train
    arguments = {"task": data.task, "plan": plan, "dataset": data.dataset, "rows": data.rows("train"), "train": train}
    held = [
        batch for step in batches(range(WARM_UP, WARM_UP + STEPS), **arguments, collective=Alone()) for batch in step
    ]
    found: dict[str, list[float]] = {"dataset": [], "memory": []}
    for _ in range(times):
        state = initial_state(data.task, plan, train)
        state, _ = fit(state, WARM_UP, **arguments, collective=Alone())
        began = time.perf_counter()
        fit(state, STEPS, **arguments, collective=Alone())
        found["dataset"].append(1000 * (time.perf_counter() - began) / STEPS)
        began = time.perf_counter()
        for batch in held:
            loss, count = data.task.loss(state.model, batch)
            state.optimizer.zero_grad()
            (loss / count).backward()
            state.optimizer.step()
        found["memory"].append(1000 * (time.perf_counter() - began) / STEPS)
    rate = statistics.median(np.divide(found["memory"], found["dataset"]))
    for source, milliseconds in found.items():
        print(f"a step from {source}: {statistics.median(milliseconds):.0f} ms")
    print(f"step rate from the dataset over that from memory: {rate:.2f}")
    return {"step_ms": found, "step_rate_over_memory": round(rate, 2)}


def _ingest(spark: SparkSession, folder: Path, matrix: Path) -> float:
    """Seconds of the whole job, into a new lake."""
    shutil.rmtree(folder, ignore_errors=True)
    lake, table = _lake(folder), str(matrix.with_suffix(".table.csv"))
    began = time.perf_counter()
    ingest_expression(spark, lake, "site", str(matrix), table, table, INGEST)
    return time.perf_counter() - began


def _bare(matrix: Path, target: Path) -> float:
    began = time.perf_counter()
    pq.write_table(pc.read_csv(matrix, read_options=pc.ReadOptions(block_size=32 << 20)), target)
    return time.perf_counter() - began


def _lake(folder: Path) -> Lake:
    lake = Lake(folder.resolve().as_uri())
    apply_layout(lake)
    return lake


if __name__ == "__main__":
    typer.run(main)

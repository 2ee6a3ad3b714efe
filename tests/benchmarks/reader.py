"""The reader alone, beside its limit and its peers, in one run: rows a second and CPU milliseconds a row.

    python tests/benchmarks/reader.py --work DIR [--lake hdfs://namenode:8020/lakes/centre] [--repetitions 5]

Rows are 256 x 256 tiles with their instance masks, cut from ../shared/data/histology. Every way is opened, reads all of
them ten times and is closed, in turn with the others; start-up is left out by counting from the first row on, which
favours readers that have read ahead by then. Medians and ranges over the repetitions are printed, and as JSON; so are
ratios of rows a second, each of two ways in the same repetition, which the machine's better and worse minutes share.
`--lake` names a lake in HDFS: a dataset larger than what its reader may hold in memory is pooled there and on the local
disk, and read from both. With `--threads 1` a second core is left to HDFS, and with `--no-peers` nothing but the limit
is read beside the reader.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import torch
import typer
from petastorm import make_reader
from petastorm.codecs import CompressedImageCodec
from petastorm.etl.dataset_metadata import materialize_dataset
from petastorm.unischema import Unischema, UnischemaField, dict_to_spark_row
from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.packing import ROW_GROUP_BYTES
from oncotrain.lake.pool import pool
from oncotrain.lake.row_group_cache import DiskCache
from oncotrain.lake.schema import decode_value
from oncotrain.slides.ingest import ingest_slides
from oncotrain.spark import spark_session
from oncotrain.training.loader import prefetch
from oncotrain.training.process import prepare_process
from oncotrain.training.sampling import epoch_order

DATA = Path(__file__).parents[3] / "shared" / "data" / "histology"
COLUMNS = ("pixels", "instances")
BATCH = 16
EPOCHS = 10
LIMIT = "decoding alone, from memory"
OURS = "oncotrain"
PNG = "Petastorm on PNG, thread pool"
LOCAL = "oncotrain, file://, beyond memory"
REMOTE = "oncotrain, hdfs://, beyond memory"
CACHED = "oncotrain, hdfs:// behind the disk cache"
RATIOS = ((OURS, LIMIT), (OURS, PNG), (REMOTE, LOCAL), (CACHED, LOCAL))
GROUPS = 2
"""Row groups that are shuffled together."""
STREAMING = "mosaicml-streaming==0.13.0"
HOSPITALS = 6
"""Of whose tiles, pooled, a lake is made that is larger than what its reader may hold."""
Rows = Generator[int]
"""Numbers of rows as they arrive, over all epochs: 1 where a reader gives single rows."""


def main(
    work: Annotated[Path, typer.Option(help="folder for the datasets; kept and used again")],
    lake: Annotated[str | None, typer.Option(help="a lake in HDFS to read from as well")] = None,
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
    threads: Annotated[int, typer.Option(min=1, help="of every reader")] = 2,
    peers: Annotated[bool, typer.Option(help="read with Petastorm, a DataLoader and streaming too")] = True,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("reader", lambda: measure(work.resolve(), lake, repetitions, threads, peers))


def measure(work: Path, remote: str | None, repetitions: int, threads: int, peers: bool) -> dict[str, Any]:
    """The datasets, then every way in turn."""
    cv2.setNumThreads(1)
    prepare_process(1)
    spark = spark_session("reader")
    local = _tiles(spark, work)
    dataset = open_dataset(local, "tiles")
    png = work / "png"
    if not png.exists():
        _write_png(spark, dataset, png)
    ways: dict[str, Callable[[], Rows]] = {
        LIMIT: partial(_decode_limit, dataset, threads),
        OURS: partial(_ours, dataset, threads),
    }
    if peers:
        ways |= {
            "Petastorm, thread pool": partial(_petastorm, dataset.uri, "thread", threads),
            "Petastorm, process pool": partial(_petastorm, dataset.uri, "process", threads),
            PNG: partial(_petastorm, (png / "parquet").as_uri(), "thread", threads),
            "DataLoader over PNG files": partial(_loose_files, png / "files", threads),
            "mosaicml-streaming": partial(_streaming, png / "files", work / "mds", threads),
        }
        deque(_streaming(png / "files", work / "mds", threads, epochs=0), maxlen=0)  # makes its environment and shards
    if remote:
        hospitals = [_tiles(spark, work / str(number), f"reader-{number}") for number in range(HOSPITALS)]
        for name, lake in ((LOCAL, Lake((work / "pool").as_uri())), (REMOTE, Lake(remote))):
            apply_layout(lake)
            pool(spark, hospitals, lake, "tiles")
            ways[name] = partial(_ours, _beyond_memory(lake), threads)
        cached = _beyond_memory(Lake(remote), DiskCache(work / "row-groups", 1 << 30))
        ways[CACHED] = partial(_ours, cached, threads)
    spark.stop()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            figures[name].append(_timed(way(), (EPOCHS - 1) * dataset.rows))
    summary = {name: _summary(values) for name, values in figures.items()}
    summary["bytes"] = {"oncotrain": _size(Path(local.path("curated"))), "Petastorm on PNG": _size(png / "parquet")}
    print(f"| reader, {threads} threads | rows/s | range | CPU ms a row | range |\n|---|---|---|---|---|")
    for name in ways:
        rate, cost = summary[name]["rows_per_second"], summary[name]["cpu_ms_per_row"]
        print(
            f"| {name} | {rate[1]:.0f} | {rate[0]:.0f} to {rate[2]:.0f} "
            f"| {cost[1]:.2f} | {cost[0]:.2f} to {cost[2]:.2f} |"
        )
    summary |= _ratios(figures)
    return {"rows": dataset.rows, "threads": threads, **summary}


def _ratios(figures: dict[str, list[tuple[float, float]]]) -> dict[str, list[float]]:
    """Print the ratios of rows a second, and return their spreads."""
    print("\n| ratio of rows/s | median | range |\n|---|---|---|")
    spreads = {}
    for way, other in RATIOS:
        if way in figures and other in figures:
            pairs = zip(figures[way], figures[other], strict=True)
            low, middle, high = spreads[f"{way} over {other}"] = _spread(
                [mine / theirs for (mine, _), (theirs, _) in pairs]
            )
            print(f"| {way} over {other} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    return spreads


def _tiles(spark: SparkSession, work: Path, site: str = "reader") -> Lake:
    """A lake with both sets of images as one dataset of tiles."""
    lake = Lake((work / "lake").as_uri())
    apply_layout(lake)
    config = SlidesConfig(
        spacing=0.25,
        tile=256,
        min_tissue=0.0,
        classes=("epithelial", "lymphocyte", "macrophage", "neutrophil"),
        missing_spacing={"image": 0.25},
        columns={"slide": "image", "id": "slide", "cohort": "dataset", "part": "split"},
    )
    ingest_slides(spark, lake, site, DATA / "manifest.csv", config)
    return lake


def _write_png(spark: SparkSession, dataset: Dataset, folder: Path) -> None:
    """The same tiles as the stock way has them: PNG in Petastorm's Parquet, and PNG files."""
    schema = Unischema(
        "png",
        [
            UnischemaField("pixels", np.uint8, (256, 256, 3), CompressedImageCodec("png"), False),
            UnischemaField("instances", np.uint16, (256, 256), CompressedImageCodec("png"), False),
        ],
    )
    files = folder / "files"
    files.mkdir(parents=True)
    rows = []
    for number, row in enumerate(dataset.iterate(COLUMNS)):
        row["instances"] = row["instances"].astype(np.uint16)
        rows.append(dict_to_spark_row(schema, row))
        cv2.imwrite(str(files / f"{number}-pixels.png"), row["pixels"][..., ::-1])
        cv2.imwrite(str(files / f"{number}-instances.png"), row["instances"])
    target = (folder / "parquet").as_uri()
    with materialize_dataset(spark, target, schema, row_group_size_mb=16):
        spark.createDataFrame(rows, schema.as_spark_schema()).coalesce(1).write.parquet(target)


def _decode_limit(dataset: Dataset, threads: int) -> Rows:
    """Nothing but the codec, on bytes that are in memory already."""
    fields = [dataset.schema.fields[column] for column in COLUMNS]
    encoded = [
        row
        for file in dataset.manifest.files
        for row in pq.read_table(dataset.path(file), columns=list(COLUMNS)).to_pylist()
    ]
    batches = [encoded[at : at + BATCH] for at in range(0, len(encoded), BATCH)] * EPOCHS

    def decode(rows: list[dict[str, bytes]]) -> list[Any]:
        return [[decode_value(field, row[field.name]) for field in fields] for row in rows]

    yield from map(len, prefetch(decode, batches, threads))


def _ours(dataset: Dataset, threads: int) -> Rows:
    """As training reads: shuffled epochs one after the other, batches made ahead by threads."""
    batches = (rows for epoch in range(EPOCHS) for rows in _batches(dataset, epoch))
    yield from map(
        len,
        prefetch(
            lambda rows: dataset.read(rows, COLUMNS), batches, threads, early=lambda rows: dataset.load(rows, COLUMNS)
        ),
    )


def _batches(dataset: Dataset, epoch: int) -> Iterator[np.ndarray]:
    order = epoch_order(0, epoch, dataset.group_sizes, np.arange(dataset.rows), GROUPS)
    return (order[at : at + BATCH] for at in range(0, len(order), BATCH))


def _beyond_memory(lake: Lake, disk_cache: DiskCache | None = None) -> Dataset:
    """The hospitals' tiles, of which memory holds no more than the row groups in use and those to come."""
    return open_dataset(lake, "tiles", cache_bytes=3 * GROUPS * ROW_GROUP_BYTES, disk_cache=disk_cache)


def _petastorm(uri: str, pool_type: str, threads: int) -> Rows:
    with make_reader(
        uri, schema_fields=list(COLUMNS), reader_pool_type=pool_type, workers_count=threads, num_epochs=EPOCHS, seed=0
    ) as reader:
        yield from (1 for _ in reader)


class _Files(torch.utils.data.Dataset[Any]):
    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, len(list(folder.glob("*-pixels.png")))

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = cv2.imread(str(self.folder / f"{row}-pixels.png"))
        return pixels, cv2.imread(str(self.folder / f"{row}-instances.png"), cv2.IMREAD_UNCHANGED)


def _loose_files(folder: Path, workers: int) -> Rows:
    loader = torch.utils.data.DataLoader(
        _Files(folder), BATCH, shuffle=True, num_workers=workers, persistent_workers=True
    )
    for _ in range(EPOCHS):
        yield from (len(pixels) for pixels, _ in loader)


def _streaming(files: Path, shards: Path, workers: int, epochs: int = EPOCHS) -> Rows:
    uv = [str(Path(sys.executable).with_name("uv")), "run", "--quiet", "--isolated", "--no-project", "--python", "3.11"]
    script = Path(__file__).with_name("streaming_reader.py")
    options = ["--workers", str(workers), "--epochs", str(epochs)]
    with subprocess.Popen(
        [*uv, "--with", STREAMING, str(script), str(files), str(shards), *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield from map(int, process.stdout)
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()


def _timed(rows: Rows, count: int) -> tuple[float, float]:
    """Rows a second and CPU milliseconds a row over `count` rows after the first, of this process and all below it."""
    with closing(rows):
        next(rows)
        cpu, began, read = _cpu_seconds(), time.perf_counter(), 0
        while read < count:
            read += next(rows)
        return read / (time.perf_counter() - began), (_cpu_seconds() - cpu) / read * 1000


def _cpu_seconds() -> float:
    me = psutil.Process(os.getpid())
    return sum(
        times.user + times.system for times in (process.cpu_times() for process in [me, *me.children(recursive=True)])
    )


def _spread(values: Sequence[float]) -> list[float]:
    """Minimum, median, maximum."""
    return [min(values), statistics.median(values), max(values)]


def _summary(values: list[tuple[float, float]]) -> dict[str, list[float]]:
    return {
        name: _spread(column)
        for name, column in zip(("rows_per_second", "cpu_ms_per_row"), zip(*values, strict=True), strict=True)
    }


def _size(folder: Path) -> int:
    """Bytes of the pixels and masks in the Parquet files below `folder`."""
    total = 0
    for file in folder.rglob("*.parquet"):
        footer = pq.read_metadata(file)
        for group, column in itertools.product(range(footer.num_row_groups), range(footer.num_columns)):
            chunk = footer.row_group(group).column(column)
            total += chunk.total_compressed_size if chunk.path_in_schema in COLUMNS else 0
    return total


if __name__ == "__main__":
    typer.run(main)

"""Ingest of one large slide beside a bare loop over the same tiles, and TIAToolbox where asked for.

    python tests/benchmarks/slide_ingest.py --work DIR [--side 30000] [--tile 512] [--tiatoolbox] [--times 3]

Makes a pyramid of JPEG tiles, `side` pixels square, and ingests it on `local[2]`. The bare loop reads the very tiles
that were stored with OpenSlide in two processes and encodes them as the reader wants them; it starts nothing and
stores one file each. Ways take turns, medians and ranges are printed, and the same as JSON. Spark's start and its
workers' imports are not counted: small slides, one a worker, go first in every turn, for Spark ends workers that are
idle for a minute. `worker_mib` is the largest resident set of any worker, `row_groups_mb` the smallest, middle and
largest row group as stored.
"""

import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import openslide
import psutil
import typer
from petastorm.codecs import DeltaZstdCodec
from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.packing import read_footer
from oncotrain.lake.schema import image
from oncotrain.slides.ingest import ingest_slides
from oncotrain.spark import spark_session

TIATOOLBOX = "2.1.3"
PROCESSES = 2


class Peak:
    """The largest resident set of any Python process below this one, sampled."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "python" in process.name():
                        self.bytes = max(self.bytes, process.memory_info().rss)
                except psutil.Error:
                    continue


def main(
    work: Annotated[Path, typer.Option(help="folder for slides and lakes; slides are kept")],
    side: Annotated[int, typer.Option(help="pixels")] = 30_000,
    tile: Annotated[int, typer.Option(help="pixels at 0.25 µm")] = 512,
    times: Annotated[int, typer.Option(help="how often each way is measured")] = 3,
    tiatoolbox: Annotated[bool, typer.Option(help="measure TIAToolbox as well (an environment of its own)")] = False,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("slide_ingest", lambda: measure(work.resolve(), side, tile, times, tiatoolbox=tiatoolbox))


def measure(work: Path, side: int, tile: int, times: int, *, tiatoolbox: bool) -> dict[str, Any]:
    """Tiles a second of each way, by round."""
    from large_slide import write_large_slide

    work.mkdir(parents=True, exist_ok=True)
    slide = write_large_slide(work / f"slide-{side}.svs", side)
    spark, config = spark_session("slide_ingest"), SlidesConfig(spacing=0.25, tile=tile, classes=())
    small = [write_large_slide(work / f"small-{number}.svs", 4096, seed=number) for number in range(PROCESSES)]
    found: dict[str, list[float]] = {}
    with Peak() as peak:
        for number in range(times):
            _ingest(spark, work / "warm", small, config)
            found.setdefault("oncotrain", []).append(_ingest(spark, work / "lake", [slide], config))
            if number == 0:
                worker = peak.bytes
                dataset = open_dataset(_lake(work / "lake"), "tiles")
                index, groups = dataset.index(["x", "y"]), sorted(_row_group_bytes(dataset))
                spots = list(zip(index["x"].tolist(), index["y"].tolist(), strict=True))
            found.setdefault("bare loop", []).append(_bare(slide, spots, tile, work / "bare"))
            if tiatoolbox:
                found.setdefault("TIAToolbox", []).append(_tiatoolbox(slide, spots, tile, work))
    rates = {way: [len(spots) / seconds for seconds in of_way] for way, of_way in found.items()}
    print("| way | tiles/s | range |\n|---|---|---|")
    for way, of_way in rates.items():
        print(f"| {way} | {statistics.median(of_way):.0f} | {min(of_way):.0f} to {max(of_way):.0f} |")
    ratios = {
        f"over {way}": round(statistics.median(np.divide(rates["oncotrain"], of_way)), 2)
        for way, of_way in rates.items()
        if way != "oncotrain"
    }
    return {
        "side": side,
        "tiles": len(spots),
        "rates": rates,
        "ratios": ratios,
        "worker_mib": worker >> 20,
        "row_groups_mb": [round(size / 1e6, 1) for size in (groups[0], statistics.median(groups), groups[-1])],
    }


def _ingest(spark: SparkSession, folder: Path, slides: list[Path], config: SlidesConfig) -> float:
    """Seconds of the whole job, into a new lake."""
    shutil.rmtree(folder, ignore_errors=True)
    manifest = slides[0].with_suffix(".csv")
    manifest.write_text("slide,patient\n" + "".join(f"{slide.name},P\n" for slide in slides))
    lake = _lake(folder)
    began = time.perf_counter()
    ingest_slides(spark, lake, "site", manifest, config)
    return time.perf_counter() - began


def _lake(folder: Path) -> Lake:
    lake = Lake(folder.as_uri())
    apply_layout(lake)
    return lake


def _row_group_bytes(dataset: Dataset) -> list[int]:
    footers = [read_footer(dataset.lake.fs, dataset.path(file)) for file in dataset.manifest.files]
    groups = [footer.row_group(group) for footer in footers for group in range(footer.num_row_groups)]
    return [sum(group.column(column).total_compressed_size for column in range(group.num_columns)) for group in groups]


def _bare(slide: Path, spots: list[tuple[int, int]], tile: int, folder: Path) -> float:
    folder.mkdir(exist_ok=True)
    return _side_by_side(lambda part: _read_and_encode(slide, spots[part::PROCESSES], tile, folder / f"{part}.bin"))


def _side_by_side(work: Callable[[int], None]) -> float:
    """Seconds from when all processes are there until the last has done its part."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(PROCESSES + 1)

    def run(part: int) -> None:
        ready.wait()
        work(part)

    processes = [context.Process(target=run, args=(part,)) for part in range(PROCESSES)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def _read_and_encode(slide: Path, spots: list[tuple[int, int]], tile: int, target: Path) -> None:
    field, codec = image("pixels", np.uint8, (tile, tile, 3)), DeltaZstdCodec()
    with openslide.OpenSlide(slide) as source, target.open("wb") as file:
        for x, y in spots:
            file.write(codec.encode(field, np.asarray(source.read_region((x, y), 0, (tile, tile)).convert("RGB"))))


def _tiatoolbox(slide: Path, spots: list[tuple[int, int]], tile: int, work: Path) -> float:
    """Seconds that two of its processes take, as they say themselves, their imports aside."""
    (work / "spots.json").write_text(json.dumps(spots))
    script = Path(__file__).with_name("tiatoolbox_patches.py")
    uv = [str(Path(sys.executable).with_name("uv")), "run", "--quiet", "--isolated", "--no-project", "--python", "3.11"]
    options = [str(slide), str(work / "spots.json"), str(tile), str(work / "patches")]
    command = [*uv, "--with", f"tiatoolbox=={TIATOOLBOX}", str(script), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    typer.run(main)

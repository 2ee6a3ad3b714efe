"""A thousand small slides in one ingest: does a slide cost the same at the end, and does the driver stay small?

    python tests/benchmarks/small_slides.py --work DIR [--count 1000]

Writes `count` images of 200 x 200 pixels, ingests them on `local[2]`, and prints seconds between the completions of the
first hundred surveys and of the last, and the driver's resident memory (Python and JVM) at the first and the last.
A few slides go first, into another lake: Spark's start and its workers' imports are not counted.
"""

import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from PIL import Image

from oncotrain.config.slides import SlidesConfig
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.slides.ingest import ingest_slides
from oncotrain.spark import spark_session

HUNDRED = 100
FEW = 20


def main(
    work: Annotated[Path, typer.Option(help="an empty folder")],
    count: Annotated[int, typer.Option(help="slides")] = 1000,
) -> None:
    """Print the figures; the last line is the same as JSON."""
    run_job("small_slides", lambda: measure(work.resolve(), count))


def measure(work: Path, count: int) -> dict[str, Any]:
    """Seconds a slide and MiB of the driver, at the beginning and at the end."""
    config = SlidesConfig(spacing=0.5, tile=128, min_tissue=0, classes=(), missing_spacing={"image": 0.5})
    spark, over, memory = spark_session("small_slides"), threading.Event(), list[int]()
    ingest_slides(spark, _lake(work / "few"), "site", _delivery(work / "few-inbox", FEW), config)
    lake, manifest = _lake(work / "lake"), _delivery(work / "inbox", count)

    def sample() -> None:
        while not over.wait(1):
            own = psutil.Process()
            java = [process for process in own.children() if process.name() == "java"]
            memory.append(sum(process.memory_info().rss for process in (own, *java)) >> 20)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    began = time.perf_counter()
    summary = ingest_slides(spark, lake, "site", manifest, config)
    seconds = time.perf_counter() - began
    over.set()
    thread.join()
    parts = Path(lake.path("landing", "_work", "tiles"))
    costs = {}
    for what in ("survey.json", "000000.json"):
        times = sorted(path.stat().st_mtime for path in parts.glob(f"*/{what}"))
        first, last = times[HUNDRED] - times[0], times[-1] - times[-1 - HUNDRED]
        costs[what] = {"first": first / HUNDRED, "last": last / HUNDRED, "ratio": round(last / first, 2)}
        print(f"{what}: {10 * first:.0f} ms a slide in the first hundred, {10 * last:.0f} in the last")
    tenth = max(1, len(memory) // 10)
    driver = {"first_mib": int(np.median(memory[:tenth])), "last_mib": int(np.median(memory[-tenth:]))}
    print(f"driver: {driver['first_mib']} MiB at the beginning, {driver['last_mib']} MiB at the end")
    return {"slides": summary["accepted"], "seconds": round(seconds, 1), "costs": costs, "driver": driver}


def _lake(folder: Path) -> Lake:
    lake = Lake(folder.as_uri())
    apply_layout(lake)
    return lake


def _delivery(inbox: Path, count: int) -> Path:
    """The manifest of `count` new slides."""
    inbox.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{number:04d}.png" for number in range(count)]
    for name in names:
        Image.fromarray(rng.integers(60, 200, (200, 200, 3), dtype=np.uint8)).save(inbox / name)
    manifest = inbox / "slides.csv"
    manifest.write_text("slide,patient\n" + "".join(f"{name},{name}\n" for name in names))
    return manifest


if __name__ == "__main__":
    typer.run(main)

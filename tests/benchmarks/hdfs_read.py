"""What a row group's way from HDFS costs its reader: as Python's bytes, and into Arrow's memory as the lake reads it.

    python tests/benchmarks/hdfs_read.py --lake hdfs://127.0.0.1:PORT/lakes/read [--repetitions 5]

A file of 7 times 17 MiB is written, the size of a row group of tiles, and read in turn both ways, piece by piece.
Medians and ranges of CPU (this process, the HDFS client's threads included) and time are printed, and as JSON.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake, write_atomic
from oncotrain.lake.hdfs import ArrowReader

PIECE, PIECES = 17 << 20, 7
WAYS: dict[str, Callable[[ArrowReader], Any]] = {
    "as bytes": lambda file: file.read(PIECE),
    "into Arrow's memory": lambda file: file.read_buffer(PIECE),
}


def main(
    lake: Annotated[str, typer.Option(help="a folder in HDFS; one file is written there")],
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("hdfs_read", lambda: measure(Lake(lake), repetitions))


def measure(lake: Lake, repetitions: int) -> dict[str, Any]:
    """Both ways in turn, after one pass of each that is not counted."""
    path = lake.path("pieces")
    write_atomic(lake.fs, path, os.urandom(PIECE) * PIECES)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for number in range(repetitions + 1):
        for name, way in WAYS.items():
            figures = _timed(lake, path, way)
            if number:
                found[name].append(figures)
    print("| 17 MiB | CPU ms | range | ms | range |\n|---|---|---|---|---|")
    for name, values in found.items():
        told = (
            f"{statistics.median(each):.1f} | {min(each):.1f} to {max(each):.1f}" for each in zip(*values, strict=True)
        )
        print(f"| {name} | {' | '.join(told)} |")
    return {name: [list(each) for each in values] for name, values in found.items()}


def _timed(lake: Lake, path: str, way: Callable[[ArrowReader], Any]) -> tuple[float, float]:
    """CPU and elapsed milliseconds a piece."""
    with lake.fs.open(path, "rb") as file:
        cpu, began = _cpu_seconds(), time.perf_counter()
        for _ in range(PIECES):
            assert len(way(file)) == PIECE
        return (_cpu_seconds() - cpu) / PIECES * 1000, (time.perf_counter() - began) / PIECES * 1000


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)

"""What a number of slides and GPUs would need, from what was measured here: python deploy/sizing.py --help.

README.md beside this file works one example out and says where each default comes from.
"""

import math
from typing import Annotated, NamedTuple

import typer

FILE_BYTES, ROW_GROUP_BYTES = 128 << 20, 16 << 20
"""What ingest packs, see oncotrain.lake.packing; a file is one HDFS block."""
OBJECT_BYTES = 150
"""Of the NameNode's memory for a file or a block (Shvachko, ;login: 35(2), 2010)."""


class Storage(NamedTuple):
    """Of a dataset of tiles."""

    gigabytes: float
    files: int
    row_groups: int
    namenode_objects: int
    namenode_megabytes: float


class Load(NamedTuple):
    """Of training on it."""

    epoch_hours: float
    megabytes_per_second_per_rank: float
    reader_cores_per_rank: float
    gigabits_per_second_from_hdfs: float
    allreduce_ms: float
    step_ms: float


def storage(tiles: int, bytes_per_tile: float) -> Storage:
    """Decimal gigabytes before replication; a file and its block are two objects."""
    total = tiles * bytes_per_tile
    files = math.ceil(total / FILE_BYTES)
    return Storage(total / 1e9, files, math.ceil(total / ROW_GROUP_BYTES), 2 * files, 2 * files * OBJECT_BYTES / 1e6)


def load(
    tiles: int,
    bytes_per_tile: float,
    ranks: int,
    rows_per_second: float,
    cpu_ms_per_row: float,
    batch_per_rank: int,
    parameters: int,
    gigabits: float,
) -> Load:
    """With a ring all-reduce in float32: 2 (n - 1) / n of the gradient through every link (Patarasuk and Yuan 2009)."""
    per_rank = rows_per_second * bytes_per_tile
    return Load(
        tiles / (ranks * rows_per_second) / 3600,
        per_rank / 1e6,
        rows_per_second * cpu_ms_per_row / 1000,
        ranks * per_rank * 8 / 1e9,
        2 * (ranks - 1) / ranks * parameters * 4 * 8 / (gigabits * 1e9) * 1000,
        batch_per_rank / rows_per_second * 1000,
    )


def main(
    slides: Annotated[int, typer.Option(min=1)] = 1_000,
    tiles_per_slide: Annotated[int, typer.Option(min=1)] = 50_000,
    bytes_per_tile: Annotated[float, typer.Option(help="256 x 256 pixels and mask, as stored")] = 113_000,
    ingest_tiles_per_second: Annotated[float, typer.Option(help="of one core; measure yours")] = 200,
    ranks: Annotated[int, typer.Option(min=1, help="GPUs")] = 64,
    rows_per_second: Annotated[float, typer.Option(help="tiles that one GPU trains on; measure yours")] = 1_000,
    cpu_ms_per_row: Annotated[float, typer.Option(help="of the reader, see tests/benchmarks")] = 0.74,
    batch_per_rank: Annotated[int, typer.Option(min=1)] = 64,
    parameters: Annotated[int, typer.Option(min=1)] = 25_000_000,
    gigabits: Annotated[float, typer.Option(help="per second between machines")] = 25,
) -> None:
    """Print it as a table."""
    tiles = slides * tiles_per_slide
    stored = storage(tiles, bytes_per_tile)
    needed = load(tiles, bytes_per_tile, ranks, rows_per_second, cpu_ms_per_row, batch_per_rank, parameters, gigabits)
    rows = {
        "tiles": f"{tiles:,}",
        "curated data, before replication": f"{stored.gigabytes:,.0f} GB",
        "files of 128 MiB": f"{stored.files:,}",
        "row groups of 16 MiB": f"{stored.row_groups:,}",
        "NameNode": f"{stored.namenode_objects:,} objects, {stored.namenode_megabytes:,.0f} MB of its memory",
        "ingest": f"{tiles / ingest_tiles_per_second / 3600:,.0f} core hours",
        f"epoch on {ranks} GPUs": f"{needed.epoch_hours:,.2f} h",
        "a rank reads": f"{needed.megabytes_per_second_per_rank:,.0f} MB/s",
        "readers of a rank": f"{needed.reader_cores_per_rank:,.1f} cores",
        "HDFS gives": f"{needed.gigabits_per_second_from_hdfs:,.0f} Gbit/s",
        f"all-reduce of {parameters:,} parameters": f"{needed.allreduce_ms:,.0f} ms",
        f"step of {batch_per_rank} rows": f"{needed.step_ms:,.0f} ms",
    }
    print("| what | needed |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    typer.run(main)

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from petastorm import make_reader
from pyspark.sql import SparkSession

from oncotrain.errors import DataError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.writer import write_dataset, write_part
from support.datasets import samples_schema, tiles_schema, write_tiles


def test_equal_rows_are_published_once_and_give_equal_bytes(spark: SparkSession, lake: Lake, pooled) -> None:
    site = "chu-grenoble"
    first = open_dataset(pooled.sites[site], "tiles").manifest
    again = write_tiles(spark, lake, site, patients=4, slides=2, seed=0)
    assert again.sha256 == first.sha256
    assert [file.sha256 for file in again.files] == [file.sha256 for file in first.files]
    assert write_tiles(spark, lake, site, patients=4, slides=2, seed=0).version == "v0001"
    assert write_tiles(spark, lake, site, patients=4, slides=2, seed=5).version == "v0002"


@pytest.mark.parametrize("workers", ["thread", "dummy"])
def test_petastorm_reads_exactly_the_rows_of_the_manifest(pooled, workers: str) -> None:
    dataset = open_dataset(pooled.centre, "tiles")
    expected = {(row["slide"], int(row["x"])): row["pixels"] for row in dataset.iterate(["slide", "x", "pixels"])}
    with make_reader(dataset.uri, reader_pool_type=workers, workers_count=3, num_epochs=1) as reader:
        found = [((row.slide, int(row.x)), row.pixels) for row in reader]
    assert len(found) == dataset.manifest.rows == len(expected)
    assert {key for key, _ in found} == set(expected)
    for key, pixels in found:
        np.testing.assert_array_equal(pixels, expected[key])


def test_small_parts_share_row_groups_and_files(spark: SparkSession, lake: Lake) -> None:
    manifest = write_tiles(spark, lake, "site", patients=3, slides=1, tiles=4, row_group_tiles=1000)
    assert [file.row_groups for file in manifest.files] == [(12,)]
    parquet = pq.read_metadata(lake.path("curated", "tiles", "v0001", manifest.files[0].path))
    pixels = parquet.schema.to_arrow_schema().get_field_index("pixels")
    assert parquet.row_group(0).column(pixels).compression == "UNCOMPRESSED"


def write_samples_from(spark: SparkSession, lake: Lake, part: str) -> None:
    schema = samples_schema(genes=3)
    write_dataset(spark, lake, "samples", kind="samples", schema=schema, parts=[part], features={}, inputs={})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda part: part.write_bytes(part.read_bytes()[:-9]), "part.parquet: is not a whole Parquet file"),
        (lambda part: part.write_text("slide"), "part.parquet: is not a whole Parquet file"),
        (lambda part: part.unlink(), "part.parquet: is missing"),
        (lambda part: write_part_of(part, tiles_schema(8)), "part.parquet: has columns"),
        (lambda part: write_part_of(part, samples_schema(genes=3)), "nothing was accepted"),
    ],
)
def test_a_bad_part_is_named_and_nothing_published(
    spark: SparkSession, lake: Lake, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    part = tmp_path / "part.parquet"
    write_part_of(part, samples_schema(genes=3))
    damage(part)
    with pytest.raises(DataError, match=message):
        write_samples_from(spark, lake, str(part))
    assert lake.list("curated") == []
    assert lake.list("_staging") == []


def write_part_of(path: Path, schema) -> None:
    assert write_part(Lake(f"file://{path.parent}").fs, str(path), schema, []) == 0

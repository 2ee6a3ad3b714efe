"""Writing datasets: rows are encoded into parts, one a source, then packed by Spark into a published dataset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
from petastorm.etl.dataset_metadata import materialize_dataset
from petastorm.unischema import Unischema
from pyspark.sql import SparkSession

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake, write_atomic
from oncotrain.lake.layout import STAGING
from oncotrain.lake.manifest import FileEntry, Kind
from oncotrain.lake.packing import (
    FILE_BYTES,
    ROW_GROUP_BYTES,
    FilePlan,
    pieces_of,
    plan_files,
    write_packed,
    write_tables,
)
from oncotrain.lake.publish import Published, describe_file, publish_dataset
from oncotrain.lake.schema import arrow_schema, encode_row
from oncotrain.lake.staging import staging
from oncotrain.memory_file import contents, memory_file
from oncotrain.spark import run_tasks


def write_part(
    fs: fsspec.AbstractFileSystem,
    path: str,
    schema: Unischema,
    rows: Iterable[Mapping[str, Any]],
    row_group_bytes: int = ROW_GROUP_BYTES,
) -> int:
    """Encode `rows`, with the columns of `schema`, into one Parquet file that appears whole or not at all.

    Returns how many there were. Raises DataError naming the column of a value that does not fit.
    """
    with memory_file("part") as stream:
        written = encode_part(stream, schema, rows, row_group_bytes)
        write_atomic(fs, path, contents(stream))
    return written


def encode_part(
    stream: BinaryIO, schema: Unischema, rows: Iterable[Mapping[str, Any]], row_group_bytes: int = ROW_GROUP_BYTES
) -> int:
    """Write a part with `rows` to `stream`; how many there were. For whoever has no business in the lake."""
    written = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal written
        for encoded in _batches(schema, rows, row_group_bytes):
            written += len(encoded)
            yield pa.Table.from_pylist(encoded, schema=arrow_schema(schema))

    write_tables(stream, schema, tables())
    return written


def write_dataset(
    spark: SparkSession,
    lake: Lake,
    name: str,
    *,
    kind: Kind,
    schema: Unischema,
    parts: Sequence[str],
    features: Mapping[str, Any],
    inputs: Mapping[str, str],
    row_group_bytes: int = ROW_GROUP_BYTES,
    file_bytes: int = FILE_BYTES,
) -> Published:
    """Pack `parts` (paths inside the lake's filesystem, in content order) into a new version of dataset `name`.

    Equal parts in equal order give equal bytes; if the newest version has them already, that is returned. Raises
    DataError if a part is damaged or of another schema, or there are no rows; UserError if the lake is not laid out.
    """
    with staging(lake) as staged:
        pieces = [piece for part in parts for piece in pieces_of(lake.fs, part, schema)]
        files = plan_files(pieces, row_group_bytes, file_bytes)
        if not files:
            raise DataError(f"{name}: nothing was accepted, so there are no rows to publish")

        def write(task: tuple[int, FilePlan]) -> FileEntry:
            number, plan = task
            target = f"{staged}/{file_name(number)}"
            write_packed(lake.fs, plan, target, schema)
            return describe_file(lake, target, schema)

        with petastorm_metadata(spark, lake, staged, schema):
            written = run_tasks(spark, list(enumerate(files)), write)
        return publish_dataset(
            lake, staged, name, files=written, kind=kind, schema=schema, features=features, inputs=inputs
        )


def petastorm_metadata(spark: SparkSession, lake: Lake, staged: str, schema: Unischema) -> AbstractContextManager[None]:
    """On leaving, what Petastorm's readers need (`_common_metadata`) is made for the Parquet files in `staged`."""
    uri = lake.child_uri(STAGING, staged.rsplit("/", 1)[-1])
    context: AbstractContextManager[None] = materialize_dataset(spark, uri, schema, filesystem_factory=lambda: lake.fs)
    return context


def file_name(number: int) -> str:
    """The name of a dataset's file, so that sorted names are storage order."""
    return f"part-{number:05d}.parquet"


def _batches(schema: Unischema, rows: Iterable[Mapping[str, Any]], limit: int) -> Iterator[list[dict[str, Any]]]:
    """Encoded rows in lists that are closed once their arrays and texts hold `limit` bytes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        encoded = encode_row(schema, row)
        batch.append(encoded)
        size += sum(len(value) for value in encoded.values() if hasattr(value, "__len__"))
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

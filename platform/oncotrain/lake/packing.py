"""How encoded parts become a dataset's files: which pieces go together, and the one way Parquet is written.

A piece is a row group of a part. Consecutive pieces make a row group of 8-32 MB, consecutive row groups a file of about
128 MB (one HDFS block). The plan is a pure function of the pieces' sizes, and the writer's settings are fixed, so equal
parts give equal bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from petastorm.unischema import Unischema

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import write_atomic
from oncotrain.lake.schema import arrow_schema, columns_of
from oncotrain.memory_file import contents, memory_file

ROW_GROUP_BYTES = 16_000_000
FILE_BYTES = 128 << 20

T = TypeVar("T")


class Piece(NamedTuple):
    """One row group of one part."""

    part: str
    row_group: int
    bytes: int


RowGroupPlan = Sequence[Piece]
FilePlan = Sequence[RowGroupPlan]


def pieces_of(fs: fsspec.AbstractFileSystem, part: str, schema: Unischema) -> list[Piece]:
    """The row groups of a part. Raises DataError if it is not whole Parquet or not encoded with `schema`."""
    footer = read_footer(fs, part)
    require_schema(part, footer, schema)
    return [Piece(part, group, footer.row_group(group).total_byte_size) for group in range(footer.num_row_groups)]


def read_footer(fs: fsspec.AbstractFileSystem, path: str) -> pq.FileMetaData:
    """The footer of a Parquet file. Raises DataError if it is missing or cut short."""
    try:
        with fs.open(path, "rb") as file:
            return pq.read_metadata(file)
    except FileNotFoundError:
        raise DataError(f"{path}: is missing") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: is not a whole Parquet file ({error})") from None


def require_schema(path: str, footer: pq.FileMetaData, schema: Unischema) -> None:
    """Raises DataError if the file's columns are not those of `schema`."""
    found, expected = footer.schema.to_arrow_schema(), arrow_schema(schema)
    if not found.equals(expected):
        raise DataError(f"{path}: has columns {_describe(found)}; the schema's are {_describe(expected)}")


def open_parquet(file: BinaryIO) -> pq.ParquetFile:
    """A Parquet file to read in the calling thread (pass `use_threads=False` to its reads).

    Arrow's read-ahead threads may hold the Python file a moment longer than its reader; one that then needs the
    interpreter while this is shutting down aborts the process.
    """
    return pq.ParquetFile(file, pre_buffer=False)


def plan_files(
    pieces: Iterable[Piece], row_group_bytes: int = ROW_GROUP_BYTES, file_bytes: int = FILE_BYTES
) -> list[FilePlan]:
    """Pieces in order, packed into row groups and files.

    A row group is closed once it holds `row_group_bytes`, or earlier if the next piece would double that; a file before
    the row group that would take it past `file_bytes`. So a row group exceeds 2 x `row_group_bytes` only where a single
    piece does. A last row group of less than half that size goes with the one before, if that has room for it.
    """
    groups = list(_fill(pieces, lambda piece: piece.bytes, full=row_group_bytes, limit=2 * row_group_bytes))
    if len(groups) > 1 and 2 * _size(groups[-1]) < row_group_bytes:
        joined = groups[-2] + groups[-1]
        if _size(joined) <= 2 * row_group_bytes:
            groups[-2:] = [joined]
    return list(_fill(groups, _size, full=file_bytes, limit=file_bytes))


def write_packed(fs: fsspec.AbstractFileSystem, plan: FilePlan, target: str, schema: Unischema) -> None:
    """Write one file of a dataset from the pieces of parts that `plan` names."""
    tables = (pa.concat_tables(_read(fs, piece) for piece in group) for group in plan)
    write_parquet(fs, target, schema, tables)


def write_parquet(fs: fsspec.AbstractFileSystem, path: str, schema: Unischema, tables: Iterable[pa.Table]) -> None:
    """Write encoded tables as the row groups of one Parquet file, atomically.

    The file is built in memory: HDFS's stream has no `tell`, which Parquet needs, and a file is one block.
    """
    with memory_file("parquet") as stream:
        write_tables(stream, schema, tables)
        write_atomic(fs, path, contents(stream))


def write_tables(stream: BinaryIO, schema: Unischema, tables: Iterable[pa.Table]) -> None:
    """Write a Parquet file with encoded tables as its row groups.

    Already compressed columns are stored as they are, others by zstd.
    """
    codecs = {column.name: column.codec for column in columns_of(schema)}
    with pq.ParquetWriter(
        stream,
        arrow_schema(schema),
        compression={name: "NONE" if codec == "delta_zstd" else "ZSTD" for name, codec in codecs.items()},
        use_dictionary=[name for name, codec in codecs.items() if codec == "scalar"],
        write_statistics=[name for name, codec in codecs.items() if codec == "scalar"],
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))


def _read(fs: fsspec.AbstractFileSystem, piece: Piece) -> pa.Table:
    with fs.open(piece.part, "rb") as file:
        return open_parquet(file).read_row_group(piece.row_group, use_threads=False)


def _fill(items: Iterable[T], size: Callable[[T], int], *, full: int, limit: int) -> Iterator[list[T]]:
    """Consecutive items in bins that are closed at `full` and, unless one item does alone, never pass `limit`."""
    filled: list[T] = []
    total = 0
    for item in items:
        if filled and (total >= full or total + size(item) > limit):
            yield filled
            filled, total = [], 0
        filled.append(item)
        total += size(item)
    if filled:
        yield filled


def _size(group: RowGroupPlan) -> int:
    return sum(piece.bytes for piece in group)


def _describe(schema: pa.Schema) -> dict[str, Any]:
    return {field.name: f"{field.type}{'' if field.nullable else ' not null'}" for field in schema}

"""Reading a published dataset, by row: neither Spark nor Java, and no row less than its manifest states."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from petastorm.unischema import Unischema

from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import FileEntry, Manifest, dataset_versions, read_manifest
from oncotrain.lake.names import require_slug
from oncotrain.lake.packing import open_parquet, read_footer
from oncotrain.lake.row_group_cache import DiskCache, MemoryCache
from oncotrain.lake.schema import decode_value, require_columns, unischema_of

Row = dict[str, Any]
"""One decoded row: column -> str, NumPy scalar, ndarray, or None where the column is nullable."""

CACHE_BYTES = 512 << 20


def open_dataset(
    lake: Lake,
    name: str,
    version: str | None = None,
    cache_bytes: int = CACHE_BYTES,
    disk_cache: DiskCache | None = None,
) -> "Dataset":
    """Open a published version, by default the newest, and compare every Parquet footer with the manifest.

    Encoded row groups are kept in memory up to `cache_bytes`, and in `disk_cache` where there is one.

    Raises UserError if there is no such dataset, DataError (exit code 3) naming the file, what was expected and what
    was found if a file or a row group is missing.
    """
    require_layout(lake)
    versions = dataset_versions(lake, require_slug("dataset", name))
    if not versions:
        published = ", ".join(lake.list("curated")) or "none"
        raise UserError(f"{lake.uri} has no dataset {name!r}; published: {published}")
    if version is not None and version not in versions:
        raise UserError(f"{lake.uri}: dataset {name!r} has no version {version!r}; published: {', '.join(versions)}")
    dataset = Dataset(lake, read_manifest(lake, name, version or versions[-1]), cache_bytes, disk_cache)
    dataset.check()
    return dataset


class Dataset:
    """A dataset version whose rows are numbered from 0 in storage order.

    Pickles as its address (lake, name, version): another process opens it afresh.
    """

    def __init__(
        self, lake: Lake, manifest: Manifest, cache_bytes: int = CACHE_BYTES, disk_cache: DiskCache | None = None
    ) -> None:
        self.lake = lake
        self.manifest = manifest
        self.schema: Unischema = unischema_of(manifest.kind, manifest.columns)
        self.group_sizes: tuple[int, ...] = tuple(rows for file in manifest.files for rows in file.row_groups)
        """Rows of each row group, in storage order."""
        self._places = [(file, group) for file in manifest.files for group in range(len(file.row_groups))]
        self._ends = list(accumulate(self.group_sizes))
        self._memory, self.disk_cache = MemoryCache(cache_bytes), disk_cache

    def __reduce__(self) -> tuple[Any, ...]:
        return open_dataset, (self.lake, self.manifest.name, self.manifest.version, self._memory.limit, self.disk_cache)

    @property
    def rows(self) -> int:
        return self.manifest.rows

    @property
    def uri(self) -> str:
        """Where the version lies, for Spark and Petastorm."""
        return self.lake.child_uri("curated", self.manifest.name, self.manifest.version)

    def path(self, file: FileEntry) -> str:
        """A file's path inside the lake's filesystem."""
        return self.lake.path("curated", self.manifest.name, self.manifest.version, file.path)

    def check(self) -> None:
        """Compare every footer with the manifest. Raises DataError for a file or row group that is missing."""
        for file in self.manifest.files:
            self._require_footer(file, read_footer(self.lake.fs, self.path(file)))

    def index(self, columns: Sequence[str]) -> pd.DataFrame:
        """Scalar columns of all rows, indexed 0..rows-1; nothing else is read or decoded.

        Raises UserError for a column that is no scalar, DataError if rows are missing.
        """
        require_columns(self.schema, columns, scalars=True)
        tables = [self._read(file, partial(_whole, columns=columns)) for file in self.manifest.files]
        return pa.concat_tables(tables).to_pandas(use_threads=False)

    def read(self, rows: Sequence[int] | np.ndarray, columns: Sequence[str]) -> list[Row]:
        """The rows of those numbers, in the order asked for. Encoded row groups are kept up to the cache's limit.

        Raises UserError for an unknown column, DataError if a row is missing or cannot be decoded.
        """
        require_columns(self.schema, columns)
        places = [self._place(row) for row in np.asarray(rows, dtype=np.int64).tolist()]
        stored = {group: _stored_values(self._held(group, columns)) for group in {group for group, _ in places}}
        return [self._decode(stored[group], group, position) for group, position in places]

    def load(self, rows: Sequence[int] | np.ndarray, columns: Sequence[str]) -> None:
        """Get the encoded row groups of those rows into memory, for a `read` to come."""
        for group in np.unique(np.searchsorted(self._ends, np.asarray(rows, dtype=np.int64), side="right")):
            self._held(int(group), columns)

    def iterate(self, columns: Sequence[str], rows: Sequence[int] | np.ndarray | None = None) -> Iterator[Row]:
        """All rows, or those of the given numbers, in storage order, one row group in memory at a time.

        Raises UserError for an unknown column, DataError if a row is missing or cannot be decoded.
        """
        require_columns(self.schema, columns)
        wanted = np.arange(self.rows) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
        groups = np.searchsorted(self._ends, wanted, side="right")
        for group in np.unique(groups):
            stored = _stored_values(self._row_group(int(group), columns))
            for row in wanted[groups == group].tolist():
                yield self._decode(stored, *self._place(row))

    def _place(self, row: int) -> tuple[int, int]:
        """The row's group, and its position there."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of a dataset of {self.rows} rows")
        group = bisect_right(self._ends, row)
        return group, row - self._ends[group] + self.group_sizes[group]

    def _held(self, group: int, columns: Sequence[str]) -> pa.Table:
        return self._memory.get((group, *columns), partial(self._row_group, group, columns))

    def _row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        file, index = self._places[group]

        def load() -> pa.Table:
            return self._read(file, lambda parquet: parquet.read_row_group(index, list(columns), use_threads=False))

        return self.disk_cache.get(f"{file.sha256} {index} {','.join(columns)}", load) if self.disk_cache else load()

    def _read(self, file: FileEntry, read: Callable[[pq.ParquetFile], pa.Table]) -> pa.Table:
        """What `read` gets from an opened file, whose footer is compared again: it may have changed since."""
        path = self.path(file)
        try:
            with self.lake.fs.open(path, "rb") as stream:
                parquet = open_parquet(stream)
                self._require_footer(file, parquet.metadata)
                return read(parquet)
        except FileNotFoundError:
            raise DataError(f"{path}: is missing") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None

    def _require_footer(self, file: FileEntry, footer: pq.FileMetaData) -> None:
        found = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
        if found != file.row_groups:
            raise DataError(
                f"{self.path(file)}: expected {file.rows} rows in row groups of {list(file.row_groups)}, "
                f"found {sum(found)} in {list(found)}; the file was changed after publication"
            )

    def _decode(self, stored: Mapping[str, Callable[[int], Any]], group: int, position: int) -> Row:
        try:
            return {name: decode_value(self.schema.fields[name], value(position)) for name, value in stored.items()}
        except ValueError as error:
            file, index = self._places[group]
            raise DataError(
                f"{self.path(file)}: row {position} of row group {index} is damaged, or of another codec ({error}); "
                "ingest again"
            ) from None


def _stored_values(table: pa.Table) -> dict[str, Callable[[int], Any]]:
    """Of each column, its value at a position, as it is stored."""
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(chunked: pa.ChunkedArray) -> Callable[[int], Any]:
    column = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()  # which copies even one
    if not pa.types.is_binary(column.type) or column.null_count:
        return lambda position: column[position].as_py()
    # Arrow's own way to a value's bytes costs a tenth of what it takes to decode them.
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
    view = memoryview(data)
    return lambda position: view[bounds[position] : bounds[position + 1]]


def _whole(parquet: pq.ParquetFile, columns: Sequence[str]) -> pa.Table:
    return parquet.read(columns=list(columns), use_threads=False)

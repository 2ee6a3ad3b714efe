"""A matrix in a Parquet file: one column of names, the others numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from oncotrain.errors import DataError
from oncotrain.expression.source import open_source


@dataclass(frozen=True)
class ParquetMatrix:
    """Rows and columns are meant by position; `rows` and `columns` give what the file calls them."""

    path: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: str) -> "ParquetMatrix":
        """Read the names: pandas' index where the file has one, else the first column. Raises DataError."""
        try:
            with open_source(path) as stream, pq.ParquetFile(stream) as file:
                schema = file.schema_arrow
                index = (schema.pandas_metadata or {}).get("index_columns", [])
                named = next((name for name in index if isinstance(name, str)), schema.names[0])
                rows = file.read(columns=[named]).column(0).cast(pa.string()).fill_null("").to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: is not a Parquet file ({error})") from None
        return cls(path, tuple(rows), tuple(name for name in schema.names if name != named))

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of `columns`, in the file's types."""
        names = [self.columns[column] for column in columns]
        with open_source(self.path) as stream, pq.ParquetFile(stream) as file:
            begin = 0
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                if begin < stop and first < end:
                    table = file.read_row_group(group, columns=names).select(names)
                    yield from table.slice(max(first - begin, 0), min(stop, end) - max(first, begin)).to_batches()
                begin = end

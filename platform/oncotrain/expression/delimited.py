"""A matrix in a delimited text file, plain or gzip, streamed: a header of names, then one named row a line."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pc

from oncotrain.errors import DataError
from oncotrain.expression.source import delimiter, open_source

_BLOCK_BYTES = 8 << 20
"""Unit of streaming; a line must fit into it."""


@dataclass(frozen=True)
class DelimitedMatrix:
    """Rows and columns are meant by position; `rows` and `columns` give what the file calls them."""

    path: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: str) -> "DelimitedMatrix":
        """Read the names, in one pass. Raises DataError if the file is no delimited table."""
        try:
            with open_source(path) as stream:
                lines = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter(path))
                header = next(lines, [])
            if len(header) < 2:
                raise DataError(f"{path}: its first line has no names separated by {delimiter(path)!r}")
            names = [
                name
                for batch in _stream(path, len(header), skip=0, columns=[0], cell=pa.string())
                for name in batch.column(0).to_pylist()
            ]
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: is not a table of cells separated by {delimiter(path)!r} ({error})") from None
        return cls(path, tuple(names), tuple(header[1:]))

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of `columns`: float32, or text from the first piece on that holds no number."""
        cells = [column + 1 for column in columns]
        for cell in (pa.float32(), pa.string()):
            try:
                for batch in _stream(self.path, len(self.columns) + 1, skip=first, columns=cells, cell=cell):
                    yield batch.slice(0, stop - first)
                    first += batch.num_rows
                    if first >= stop:
                        return
            except pa.ArrowInvalid:
                if cell == pa.string():
                    raise


def _stream(path: str, width: int, *, skip: int, columns: Sequence[int], cell: pa.DataType) -> Iterator[pa.RecordBatch]:
    """Pieces of the rows after the first `skip`. Raises pa.ArrowInvalid where a cell is not a `cell`."""
    names = [str(position) for position in range(width)]
    wanted = [names[column] for column in columns]
    with open_source(path) as source:
        yield from pc.open_csv(
            source,
            read_options=pc.ReadOptions(
                column_names=names, skip_rows=1, skip_rows_after_names=skip, block_size=_BLOCK_BYTES
            ),
            parse_options=pc.ParseOptions(delimiter=delimiter(path)),
            convert_options=pc.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, cell)),
        )

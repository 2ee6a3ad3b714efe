"""A matrix in a delimited text file, plain or gzip, streamed: a header of names, then one named row a line.

GCT is such a file with two lines before the header and columns of descriptions before the cells, in version 1.3 also
rows of descriptions after the header (Broad Institute's format page).
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pc

from oncotrain.errors import DataError
from oncotrain.expression.source import delimiter, is_gct, open_source

_BLOCK_BYTES = 32 << 20
"""Unit of streaming; a line must fit into it. Of many columns each costs time anew in every block."""


@dataclass(frozen=True)
class Layout:
    """Lines `before` the header and `after` it that are no rows, and the `lead` columns before the cells."""

    before: int = 0
    lead: int = 1
    after: int = 0


@dataclass(frozen=True)
class DelimitedMatrix:
    """Rows and columns are meant by position; `rows` and `columns` give what the file calls them."""

    path: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    layout: Layout = Layout()

    @classmethod
    def open(cls, path: str) -> "DelimitedMatrix":
        """Read the names, in one pass. Raises DataError if the file is no delimited table."""
        try:
            with open_source(path) as stream:
                lines = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter(path))
                layout = _gct_layout(path, next(lines, []), next(lines, [])) if is_gct(path) else Layout()
                header = next(lines, [])
            if len(header) < 1 + layout.lead:
                raise DataError(f"{path}: its first line has no names separated by {delimiter(path)!r}")
            names = [
                name
                for batch in _stream(path, len(header), layout, skip=0, columns=[0], cell=pa.string())
                for name in batch.column(0).to_pylist()
            ]
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: is not a table of cells separated by {delimiter(path)!r} ({error})") from None
        return cls(path, tuple(names), tuple(header[layout.lead :]), layout)

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of `columns`: float32, or text from the first piece on that holds no number."""
        cells = [column + self.layout.lead for column in columns]
        width = len(self.columns) + self.layout.lead
        for cell in (pa.float32(), pa.string()):
            try:
                for batch in _stream(self.path, width, self.layout, skip=first, columns=cells, cell=cell):
                    yield batch.slice(0, stop - first)
                    first += batch.num_rows
                    if first >= stop:
                        return
            except pa.ArrowInvalid:
                if cell == pa.string():
                    raise


def _gct_layout(path: str, version: Sequence[str], sizes: Sequence[str]) -> Layout:
    """Raises DataError for another version than 1.2 and 1.3."""
    found = version[0].strip() if version else ""
    if found == "#1.2":
        return Layout(before=2, lead=2)
    if found == "#1.3" and len(sizes) >= 4 and all(size.isdigit() for size in sizes[2:4]):
        return Layout(before=2, lead=1 + int(sizes[2]), after=int(sizes[3]))
    raise DataError(f"{path}: begins with {found!r} and sizes {list(sizes)}; allowed: GCT #1.2 and #1.3")


def _stream(
    path: str, width: int, layout: Layout, *, skip: int, columns: Sequence[int], cell: pa.DataType
) -> Iterator[pa.RecordBatch]:
    """Pieces of the rows after the first `skip`. Raises pa.ArrowInvalid where a cell is not a `cell`."""
    names = [str(position) for position in range(width)]
    wanted = [names[column] for column in columns]
    with open_source(path) as source:
        yield from pc.open_csv(
            source,
            read_options=pc.ReadOptions(
                column_names=names,
                skip_rows=layout.before + 1,
                skip_rows_after_names=layout.after + skip,
                block_size=_BLOCK_BYTES,
            ),
            parse_options=pc.ParseOptions(delimiter=delimiter(path)),
            convert_options=pc.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, cell)),
        )

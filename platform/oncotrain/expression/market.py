"""A matrix as a MatrixMarket triple: `matrix.mtx`, with the names of its rows and columns in two files beside it.

The format is NIST's coordinate format (Boisvert, Pozo and Remington 1996, NISTIR 5935); rows are features and columns
barcodes, as in files of sequencing cores. What is not listed is zero.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from oncotrain.errors import DataError, UserError
from oncotrain.expression.source import open_source

_NAMES = {"rows": ("features.tsv", "genes.tsv", "rows.tsv"), "columns": ("barcodes.tsv", "columns.tsv")}
_BLOCK_BYTES = 8 << 20
_BANNER = "%%MatrixMarket matrix coordinate"


@dataclass(frozen=True)
class MarketMatrix:
    """Rows and columns are meant by position; `rows` and `columns` give what the files call them."""

    path: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    preamble: int
    """Lines before the first cell."""

    @classmethod
    def open(cls, path: str) -> "MarketMatrix":
        """Read banner, sizes and names: of each line of names the first field. Raises DataError if they do not fit."""
        with open_source(path) as stream:
            lines = io.TextIOWrapper(stream, "utf-8", errors="replace")
            banner = lines.readline().strip()
            words = banner.split()
            if not banner.startswith(_BANNER) or words[3:] not in (["real", "general"], ["integer", "general"]):
                raise DataError(f"{path}: begins with {banner[:60]!r}; allowed: {_BANNER} real|integer general")
            preamble, size = 2, lines.readline()
            while size.startswith("%"):
                preamble, size = preamble + 1, lines.readline()
        try:
            height, width, _ = map(int, size.split())
        except ValueError:
            raise DataError(f"{path}: its line of sizes is {size[:60]!r}; it must hold three numbers") from None
        rows, columns = (_names(path, kind) for kind in ("rows", "columns"))
        if (len(rows), len(columns)) != (height, width):
            raise DataError(
                f"{path}: is {height} x {width}, but its names are of {len(rows)} rows and {len(columns)} columns"
            )
        return cls(path, rows, columns, preamble)

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of `columns` as float32, in one piece: (stop - first) x columns x 4 bytes."""
        place = np.full(len(self.columns), -1)
        place[np.asarray(columns)] = np.arange(len(columns))
        cells = np.zeros((stop - first, len(columns)), np.float32)
        kinds = {"row": pa.int64(), "column": pa.int64(), "value": pa.float32()}
        with open_source(self.path) as source:
            entries = pc.open_csv(
                source,
                read_options=pc.ReadOptions(column_names=list(kinds), skip_rows=self.preamble, block_size=_BLOCK_BYTES),
                parse_options=pc.ParseOptions(delimiter=" "),
                convert_options=pc.ConvertOptions(column_types=kinds),
            )
            for batch in entries:
                row, column, value = (array.to_numpy(zero_copy_only=False) for array in batch.columns)
                here = (row > first) & (row <= stop) & (place[column - 1] >= 0)
                cells[row[here] - 1 - first, place[column[here] - 1]] = value[here]
        yield pa.RecordBatch.from_arrays(
            [pa.array(part) for part in cells.T], names=[str(column) for column in columns]
        )


def _names(path: str, kind: str) -> tuple[str, ...]:
    folder = path.rpartition("/")[0]
    for name in _NAMES[kind]:
        for suffix in ("", ".gz"):
            try:
                with open_source(f"{folder}/{name}{suffix}" if folder else name + suffix) as stream:
                    lines = stream.read().decode("utf-8-sig").splitlines()
            except UserError:
                continue
            return tuple(line.split("\t")[0] for line in lines if line.strip())
    raise UserError(f"{path}: no names of its {kind} beside it; wanted: {' or '.join(_NAMES[kind])}, plain or .gz")

"""An expression matrix in any format and orientation, read as profiles: one float32 vector of genes a sample."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from oncotrain.config.expression import Orientation
from oncotrain.errors import DataError
from oncotrain.expression.cells import describe, to_float32
from oncotrain.expression.columnar import ParquetMatrix
from oncotrain.expression.delimited import DelimitedMatrix
from oncotrain.expression.hdf5 import Hdf5Matrix
from oncotrain.expression.market import MarketMatrix
from oncotrain.expression.source import is_market, is_parquet


class MatrixFile(Protocol):
    """A named matrix on disk, in the orientation of the file."""

    @property
    def rows(self) -> tuple[str, ...]: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of the columns, in the order asked, streamed in pieces; numbers or text."""


class Profile(NamedTuple):
    """One sample: its position in the matrix, its genes (float32), and the first cell that is no finite number."""

    position: int
    values: np.ndarray
    problem: str | None


@dataclass(frozen=True)
class ExpressionMatrix:
    """A matrix whose orientation is known."""

    file: MatrixFile
    samples_as_rows: bool

    @property
    def orientation(self) -> Orientation:
        return "samples_as_rows" if self.samples_as_rows else "samples_as_columns"

    @property
    def samples(self) -> tuple[str, ...]:
        return self.file.rows if self.samples_as_rows else self.file.columns

    @property
    def genes(self) -> tuple[str, ...]:
        return self.file.columns if self.samples_as_rows else self.file.rows

    def profiles(self, first: int, stop: int, genes: np.ndarray) -> Iterator[Profile]:
        """Samples `first` to `stop`, with the genes at the positions `genes`, in that order.

        Samples as rows are streamed; samples as columns take (stop - first) x genes x 4 bytes of memory.
        """
        pieces = self._rows(first, stop, genes) if self.samples_as_rows else self._columns(first, stop, genes)
        for values, problems in pieces:
            for offset, vector in enumerate(values):
                yield Profile(first + offset, vector, problems.get(offset))
            first += len(values)

    def _rows(self, first: int, stop: int, genes: np.ndarray) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        for batch in self.file.batches(first, stop, genes.tolist()):
            values = to_float32(batch)
            problems: dict[int, str] = {}
            for row, column in np.argwhere(~np.isfinite(values)).tolist():
                problems.setdefault(row, _problem(self.genes[genes[column]], describe(batch, row, column)))
            yield values, problems

    def _columns(self, first: int, stop: int, genes: np.ndarray) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        order = np.full(len(self.genes), -1)
        order[genes] = np.arange(len(genes))
        profiles = np.empty((stop - first, len(genes)), np.float32)
        problems: dict[int, str] = {}
        begin = 0
        for batch in self.file.batches(0, len(self.genes), range(first, stop)):
            target = order[begin : begin + batch.num_rows]
            values = to_float32(batch)
            profiles[:, target[target >= 0]] = values[target >= 0].T
            for row, column in np.argwhere(~np.isfinite(values) & (target >= 0)[:, None]).tolist():
                problems.setdefault(column, _problem(self.genes[begin + row], describe(batch, row, column)))
            begin += batch.num_rows
        yield profiles, problems


def open_matrix(path: str, orientation: Orientation, known: frozenset[str]) -> ExpressionMatrix:
    """Open `path`; `auto` looks on which side the `known` samples are.

    Raises UserError for an unknown format, DataError if the file cannot be read or holds none of the samples.
    """
    file = open_file(path)
    if orientation != "auto":
        return ExpressionMatrix(file, samples_as_rows=orientation == "samples_as_rows")
    as_rows, as_columns = (len(known.intersection(names)) for names in (file.rows, file.columns))
    if as_rows == as_columns == 0:
        raise DataError(
            f"{path}: none of the samples table's {len(known)} samples is among its {len(file.rows)} rows "
            f"or {len(file.columns)} columns"
        )
    return ExpressionMatrix(file, samples_as_rows=as_rows >= as_columns)


def open_for_genes(path: str, genes: Collection[str]) -> ExpressionMatrix:
    """Open `path`, whose samples are new, on the side where more of the known `genes` are.

    Raises UserError for an unknown format, DataError if the file cannot be read or has none of the genes.
    """
    file, known = open_file(path), frozenset(genes)
    as_rows, as_columns = (len(known.intersection(names)) for names in (file.columns, file.rows))
    if as_rows == as_columns == 0:
        raise DataError(
            f"{path}: none of the model's {len(known)} genes, such as {min(known)}, is among its "
            f"{len(file.rows)} rows or {len(file.columns)} columns"
        )
    return ExpressionMatrix(file, samples_as_rows=as_rows >= as_columns)


def open_file(path: str) -> MatrixFile:
    """The matrix in the format that the name says. Raises UserError for an unknown one, DataError if it is damaged."""
    if is_parquet(path):
        return ParquetMatrix.open(path)
    if path.endswith(".h5ad"):
        return Hdf5Matrix.open(path)
    return MarketMatrix.open(path) if is_market(path) else DelimitedMatrix.open(path)


def _problem(gene: str, cell: str) -> str:
    return f"expression of {gene} is {cell}; every cell must be a finite number"

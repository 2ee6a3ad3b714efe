"""A matrix in an h5ad file (AnnData on HDF5), dense or compressed sparse rows, read in blocks of rows.

The layout is AnnData's on-disk specification, version 0.1.0: `X` beside `obs` and `var`, whose attribute `_index` names
the column of names. Only names and `X` are read; nothing in the file is executed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from oncotrain.errors import DataError
from oncotrain.lake.received import open_received

_BLOCK_CELLS = 4 << 20
"""Cells that are read at once."""


@dataclass(frozen=True)
class Hdf5Matrix:
    """Rows (`obs`) and columns (`var`) are meant by position; `rows` and `columns` give what the file calls them."""

    path: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: str) -> "Hdf5Matrix":
        """Read the names. Raises DataError if the file is no h5ad, or its `X` is stored by columns."""
        try:
            with open_received(path) as stream, h5py.File(stream, "r") as file:
                rows, columns = (_names(file[axis]) for axis in ("obs", "var"))
                kind = file["X"].attrs.get("encoding-type", "array")
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{path}: is not an h5ad file ({error})") from None
        if kind not in ("array", "csr_matrix"):
            raise DataError(f"{path}: X is stored as {kind}; allowed: array, csr_matrix")
        return cls(path, rows, columns)

    def batches(self, first: int, stop: int, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Rows `first` to `stop` of `columns`, as float32."""
        chosen, size = np.asarray(columns), max(1, _BLOCK_CELLS // max(len(self.columns), 1))
        names = [str(column) for column in columns]
        with open_received(self.path) as stream, h5py.File(stream, "r") as file:
            for begin in range(first, stop, size):
                block = _block(file["X"], begin, min(begin + size, stop), len(self.columns))[:, chosen]
                yield pa.RecordBatch.from_arrays([pa.array(cells) for cells in block.T], names=names)


def _block(matrix: Any, begin: int, end: int, width: int) -> np.ndarray:
    """Rows `begin` to `end` (rows, width) float32."""
    if isinstance(matrix, h5py.Dataset):
        return np.asarray(matrix[begin:end], np.float32)
    ends = np.asarray(matrix["indptr"][begin : end + 1])
    cells = np.zeros((end - begin, width), np.float32)
    place = np.repeat(np.arange(end - begin), np.diff(ends))
    cells[place, matrix["indices"][ends[0] : ends[-1]]] = matrix["data"][ends[0] : ends[-1]]
    return cells


def _names(axis: Any) -> tuple[str, ...]:
    names = axis[axis.attrs["_index"]]
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names[:])

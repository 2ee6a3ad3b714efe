"""Cells of a matrix as float32, and which of them are no numbers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def to_float32(batch: pa.RecordBatch) -> np.ndarray:
    """Array (rows, columns) of a batch of numbers or text; NaN where a cell is empty or no number."""
    if set(batch.schema.types) != {pa.float32()}:  # column by column: of twenty thousand that takes long
        columns = [_numbers(column) for column in batch.columns]
        batch = pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])
    return batch.to_tensor(null_to_nan=True).to_numpy()


def describe(batch: pa.RecordBatch, row: int, column: int) -> str:
    """A refused cell for an error message: its text as written, quoted, or 'empty'."""
    value = batch.column(column)[row].as_py()
    return "empty" if value is None or value == "" else repr(value)


def _numbers(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.match_substring_regex(text, _NUMBER), text, None)
    return column.cast(pa.float32())

"""Samples and response tables: CSV, TSV (plain or gzip) and Parquet, as text, so that identifiers stay as written."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from oncotrain.errors import DataError
from oncotrain.expression.source import delimiter, is_parquet, open_source

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
"""How tables write that a value is missing."""


def read_table(path: str, required: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The named columns as text, None where missing; an optional column that the table lacks is left out.

    Raises DataError if the table cannot be read or lacks a required column.
    """
    try:
        with open_source(path) as stream:
            frame = _read_parquet(stream) if is_parquet(path) else _read_delimited(stream, delimiter(path))
    except (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: is not a table ({' '.join(str(error).split())})") from None
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise DataError(f"{path}: lacks column {', '.join(map(repr, absent))}; it has: {', '.join(frame.columns)}")
    names = dict.fromkeys([*required, *(name for name in optional if name in frame.columns)])
    frame = frame[list(names)]
    return frame.mask(frame.isin(MISSING) | frame.isna(), None)


def _read_delimited(stream: pa.NativeFile, separator: str) -> pd.DataFrame:
    return pd.read_csv(stream, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def _read_parquet(stream: pa.NativeFile) -> pd.DataFrame:
    table = pq.read_table(stream)
    text = pa.schema([(name, pa.string()) for name in table.column_names])
    return table.cast(text).to_pandas()

"""Columns of a dataset: how a Unischema is stated in a manifest, rebuilt from it, and encoded to Arrow and back.

Petastorm keeps its Unischema as a pickle beside the data. Nothing here reads that pickle: the manifest states the
columns in JSON and the Unischema is rebuilt from them, so another party's file can run no code. Neither Spark nor
Java is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from petastorm.codecs import DeltaZstdCodec, NdarrayCodec, ScalarCodec
from petastorm.unischema import Unischema, UnischemaField

from oncotrain.config import Frozen
from oncotrain.errors import DataError, UserError
from oncotrain.lake.npy import load_array

Codec = Literal["scalar", "ndarray", "delta_zstd"]
_CODECS: dict[type, Codec] = {
    type(None): "scalar",
    ScalarCodec: "scalar",
    NdarrayCodec: "ndarray",
    DeltaZstdCodec: "delta_zstd",
}


class Column(Frozen):
    """One column, as the manifest states it."""

    name: str
    dtype: str
    """NumPy's name, such as `float32`; `str` for text."""
    shape: tuple[int | None, ...]
    """() for a scalar; None where the length differs from row to row."""
    nullable: bool
    codec: Codec

    def unischema_field(self) -> UnischemaField:
        """The column as a field of a Unischema. Raises DataError for an unknown dtype."""
        codec = {"scalar": None, "ndarray": NdarrayCodec(), "delta_zstd": DeltaZstdCodec()}[self.codec]
        return UnischemaField(self.name, _numpy_type(self.dtype), self.shape, codec, self.nullable)


def scalar(name: str, dtype: type, *, nullable: bool = False) -> UnischemaField:
    """A field of one value a row; `dtype` is `str` or a NumPy type."""
    return UnischemaField(name, np.str_ if dtype is str else dtype, (), None, nullable)


def vector(name: str, dtype: type, length: int | None = None) -> UnischemaField:
    """A field of one vector a row, shape (length,); None: the length differs from row to row."""
    return UnischemaField(name, dtype, (length,), NdarrayCodec(), False)


def image(name: str, dtype: type, shape: tuple[int, ...]) -> UnischemaField:
    """A field of one image or label map a row, shape (H, W) or (H, W, C), uint8, uint16 or int32, kept losslessly."""
    return UnischemaField(name, dtype, shape, DeltaZstdCodec(), False)


def columns_of(schema: Unischema) -> tuple[Column, ...]:
    """The columns that `schema` declares. Raises UserError for a codec that a manifest cannot state."""
    return tuple(_column(field) for field in schema.fields.values())


def unischema_of(kind: str, columns: Iterable[Column]) -> Unischema:
    """The Unischema that `columns` state, named after the dataset's kind."""
    return Unischema(kind, [column.unischema_field() for column in columns])


def arrow_schema(schema: Unischema) -> pa.Schema:
    """How rows of `schema` are stored: scalars as themselves, everything else as bytes."""
    return pa.schema(
        [pa.field(field.name, _arrow_type(field), nullable=field.nullable) for field in schema.fields.values()]
    )


def require_columns(schema: Unischema, columns: Sequence[str], *, scalars: bool = False) -> None:
    """Raises UserError if `schema` lacks one of `columns`, or it is not a scalar though `scalars` are asked for."""
    allowed = [name for name, field in schema.fields.items() if not scalars or field.shape == ()]
    for column in columns:
        if column not in allowed:
            raise UserError(f"column {column!r} is not {'a scalar ' if scalars else ''}of: {', '.join(allowed)}")


def encode_row(schema: Unischema, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values as they are stored; bytes are taken for an array's that is encoded already.

    Raises DataError naming the column that does not fit.
    """
    if row.keys() != schema.fields.keys():
        raise DataError(f"row has columns {sorted(row)}, the schema has {sorted(schema.fields)}")
    return {name: _encode(field, row[name]) for name, field in schema.fields.items()}


def decode_value(field: UnischemaField, value: Any) -> Any:
    """One value as it was before `encode_row`: str, NumPy scalar, ndarray, or None."""
    if value is None or field.numpy_dtype is np.str_:
        return value
    if isinstance(field.codec, NdarrayCodec):
        return load_array(value)
    return field.codec.decode(field, value) if field.codec else field.numpy_dtype(value)


def _column(field: UnischemaField) -> Column:
    codec = _CODECS.get(type(field.codec))
    if codec is None:
        raise UserError(f"column {field.name!r}: codec {field.codec} is not one a manifest can state")
    dtype = "str" if field.numpy_dtype is np.str_ else np.dtype(field.numpy_dtype).name
    return Column(name=field.name, dtype=dtype, shape=field.shape, nullable=bool(field.nullable), codec=codec)


def _numpy_type(name: str) -> Any:
    try:
        return np.str_ if name == "str" else np.dtype(name).type
    except TypeError:
        raise DataError(f"dtype {name!r} is unknown") from None


def _arrow_type(field: UnischemaField) -> pa.DataType:
    if field.codec is not None and not isinstance(field.codec, ScalarCodec):
        return pa.binary()
    return pa.string() if field.numpy_dtype is np.str_ else pa.from_numpy_dtype(field.numpy_dtype)


def _encode(field: UnischemaField, value: Any) -> Any:
    if value is None:
        if not field.nullable:
            raise DataError(f"column {field.name!r}: a value is missing and the column is not nullable")
        return None
    try:
        if field.codec is not None and isinstance(value, bytes):
            return value
        if field.codec is not None:
            return field.codec.encode(field, value)
        return str(value) if field.numpy_dtype is np.str_ else field.numpy_dtype(value).item()
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {field.name!r}: {error}") from None

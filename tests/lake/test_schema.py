import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from petastorm.codecs import CompressedImageCodec, ScalarCodec
from petastorm.unischema import Unischema, UnischemaField
from pyspark.sql.types import IntegerType

from oncotrain.errors import DataError, UserError
from oncotrain.lake.schema import (
    columns_of,
    decode_value,
    encode_row,
    image,
    require_columns,
    scalar,
    unischema_of,
    vector,
)

SCHEMA = Unischema(
    "things",
    [
        scalar("name", str),
        scalar("age", np.float64, nullable=True),
        scalar("x", np.int64),
        vector("values", np.float32),
        image("pixels", np.uint8, (4, 5, 3)),
    ],
)


def row(**changed: object) -> dict[str, object]:
    return {
        "name": "a",
        "age": None,
        "x": 2**40,
        "values": np.arange(3, dtype=np.float32),
        "pixels": np.zeros((4, 5, 3), np.uint8),
        **changed,
    }


@given(
    st.text(),
    st.none() | st.floats(allow_nan=False),
    arrays(np.float32, st.integers(0, 9)),
    arrays(np.uint8, (4, 5, 3)),
)
def test_a_row_survives_with_the_schema_rebuilt_from_its_columns(
    name: str, age: float | None, values: np.ndarray, pixels: np.ndarray
) -> None:
    rebuilt = unischema_of("things", columns_of(SCHEMA))
    encoded = encode_row(SCHEMA, row(name=name, age=age, values=values, pixels=pixels))
    decoded = {field: decode_value(rebuilt.fields[field], value) for field, value in encoded.items()}
    assert (decoded["name"], decoded["age"], decoded["x"]) == (name, age, 2**40)
    np.testing.assert_array_equal(decoded["values"], values)
    np.testing.assert_array_equal(decoded["pixels"], pixels)
    assert decoded["values"].dtype == np.float32


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": None}, "'x': a value is missing"),
        ({"values": np.zeros(3)}, "'values'.*float32.*float64"),
        ({"pixels": np.zeros((4, 4, 3), np.uint8)}, "'pixels'"),
        ({"extra": 1}, "row has columns"),
    ],
)
def test_a_value_that_does_not_fit_names_its_column(changed: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_row(SCHEMA, row(**changed))


def test_petastorm_scalars_are_stated_like_ours() -> None:
    theirs = Unischema("things", [UnischemaField("x", np.int32, (), ScalarCodec(IntegerType()), False)])
    assert columns_of(theirs) == columns_of(Unischema("things", [scalar("x", np.int32)]))


def test_a_codec_that_a_manifest_cannot_state_is_refused() -> None:
    field = UnischemaField("photo", np.uint8, (4, 4, 3), CompressedImageCodec("jpeg"), False)
    with pytest.raises(UserError, match="'photo'"):
        columns_of(Unischema("things", [field]))


def test_columns_are_named_when_one_is_unknown() -> None:
    with pytest.raises(UserError, match="'colour' is not of: name, age, x, values, pixels"):
        require_columns(SCHEMA, ["name", "colour"])
    with pytest.raises(UserError, match="'pixels' is not a scalar of: name, age, x"):
        require_columns(SCHEMA, ["pixels"], scalars=True)

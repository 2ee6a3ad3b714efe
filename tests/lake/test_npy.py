import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from oncotrain.lake.npy import load_array

DTYPES = ("?", "u1", "<i4", ">i2", "<i8", "<f4", "<f8", "<U3")


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@given(st.sampled_from(DTYPES).flatmap(lambda name: arrays(name, array_shapes(min_dims=0, min_side=0))), st.booleans())
def test_an_array_is_as_numpy_loads_it(array, by_column):
    stored = saved(np.asfortranarray(array) if by_column else array)
    expected, found = np.load(io.BytesIO(stored)), load_array(memoryview(stored))
    assert (found.dtype, found.shape, found.flags.f_contiguous) == (
        expected.dtype,
        expected.shape,
        expected.flags.f_contiguous,
    )
    np.testing.assert_array_equal(found, expected)
    found[...] = np.zeros((), found.dtype)
    np.testing.assert_array_equal(load_array(stored), expected)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (b"", "begins with"),
        (b"\x89PNG\r\n\x1a\n and more", "PNG"),
        (saved(np.arange(9.0))[:60], "header"),
        (saved(np.arange(9.0))[:-1], "buffer"),
        (saved(np.arange(9.0)).replace(b"'<f8'", b"'<f9'"), "dtype"),
        (saved(np.arange(9.0)).replace(b"{", b"("), "header"),
    ],
)
def test_what_is_no_array_or_a_damaged_one_is_refused(stored, words):
    with pytest.raises(ValueError, match=words):
        load_array(stored)


def test_python_objects_are_refused():
    stream = io.BytesIO()
    np.save(stream, np.array([{}, print], object), allow_pickle=True)
    with pytest.raises(ValueError, match="OBJECT"):
        load_array(stream.getvalue())

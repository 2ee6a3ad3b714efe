"""Parcels survive both legs of their way, and no pickle is loaded on either."""

import io
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
from flwr.app import RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.federation.wire import blocks
from oncotrain.federation.wire.parcel import (
    ARRAYS,
    Parcel,
    body_of,
    from_bytes,
    from_records,
    size,
    to_bytes,
    to_records,
)

arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
names = st.text(min_size=1, max_size=12).filter(lambda name: "\x00" not in name and not name.endswith(".npy"))
parcels = st.builds(
    Parcel,
    body=st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.none() | st.lists(st.booleans())),
    sums=st.dictionaries(names, arrays, max_size=3),
    parameters=st.lists(arrays, max_size=12),
    metrics=st.dictionaries(st.sampled_from(["loss_count", "equal", "loss"]), st.floats(allow_nan=False)),
)


def same(first: Parcel, second: Parcel) -> bool:
    def equal(a: np.ndarray, b: np.ndarray) -> bool:
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)

    return (
        dict(first.body) == dict(second.body)
        and dict(first.metrics) == dict(second.metrics)
        and first.sums.keys() == second.sums.keys()
        and all(equal(value, second.sums[name]) for name, value in first.sums.items())
        and len(first.parameters) == len(second.parameters)
        and all(equal(a, b) for a, b in zip(first.parameters, second.parameters, strict=True))
    )


@settings(deadline=None)
@given(parcels)
def test_a_parcel_survives_both_legs(parcel):
    records = to_records(parcel)
    assert same(parcel, from_records(records))
    assert body_of(records) == parcel.body
    assert same(parcel, from_bytes(to_bytes(parcel)))


def test_size_counts_every_part():
    body = size(to_records(Parcel({"a": 1})))
    assert size(to_records(Parcel({"a": 1}, {}, [np.zeros(1000)]))) > body + 8000
    assert size(to_records(Parcel({"a": 1}, {"n": np.zeros(1000)}))) > body + 8000


def test_settings_of_a_strategy_join_the_body():
    records = to_records(Parcel({"round": 1}))
    records.config_records["config"]["proximal-mu"] = 0.5
    assert from_records(records).body == {"round": 1, "proximal-mu": 0.5}


def test_a_pickle_is_refused():
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([{"body": {}}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        from_bytes(buffer.getvalue())


@settings(deadline=None)
@given(parcels, parcels, st.sampled_from([8, 100, blocks.BLOCK_BYTES]))
def test_arrays_come_out_of_their_blocks_as_they_went_in(first, second, most):
    """Also where messages share a record of arrays, as a strategy's do."""
    records = [to_records(first), to_records(second), to_records(first)]
    if ARRAYS in records[0]:
        records[2][ARRAYS] = records[0][ARRAYS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", most)
        blocks.pack([*records, records[0]])
    for content, parcel in zip(records, (first, second, first), strict=True):
        sent = RecordDict({name: deepcopy(record) for name, record in content.items()})
        sizes = [array.numpy().nbytes for array in sent.array_records.get(ARRAYS, {}).values()]
        largest = max((array.nbytes for array in parcel.parameters), default=0)
        assert max(sizes, default=0) <= max(most, largest)
        if most > largest and len({array.dtype for array in parcel.parameters}) == 1:
            assert all(a + b > most for a, b in pairwise(sizes)), "no more blocks than are needed"
        blocks.unpack(sent)
        assert same(parcel, from_records(sent))


@pytest.mark.parametrize(
    "layout",
    [None, "[]", "[[[3]]]", "[[[-1]]]", "[[[2], [2]]]", '[["a"]]', "[[[2, 2]], [[1]]]", "{", "4", "[[[0.5, 8]]]"],
)
def test_blocks_that_are_not_what_their_layout_tells_are_refused(layout):
    records = to_records(Parcel({}, {}, [np.arange(5.0)]))
    blocks.pack([records])
    key = {"blocks"} & set(records.config_records["config"])
    if layout is None:
        del records.config_records["config"][key.pop()]
    else:
        records.config_records["config"][key.pop()] = layout
    with pytest.raises((KeyError, TypeError, ValueError)):
        blocks.unpack(records)

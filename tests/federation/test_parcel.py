"""Parcels survive both legs of their way, and no pickle is loaded on either."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.federation.parcel import Parcel, body_of, from_bytes, from_records, size, to_bytes, to_records

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

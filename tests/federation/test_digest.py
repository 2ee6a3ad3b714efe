"""Figures of a message, equal at both ends however it travels."""

import math
import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.cluster.code import write_code
from oncotrain.federation.audit.app_hash import app_sha256
from oncotrain.federation.audit.digest import digest, model_sha256
from oncotrain.federation.audit.heads import HEAD
from oncotrain.federation.wire.parcel import Parcel, from_bytes, from_records, to_bytes, to_records

ARRAYS = hnp.arrays(st.sampled_from(["<f4", "<f8", "<i8"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))


@given(
    parameters=st.lists(ARRAYS, max_size=3),
    sums=st.dictionaries(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), ARRAYS, max_size=3),
    loss=st.floats(),
)
def test_a_message_is_the_same_on_arrival(parameters, sums, loss):
    sent = Parcel({"rows": 3, "by class": {10: loss, 9: [1, None, "é"]}}, sums, parameters, {"loss": loss, "equal": 1})
    found = digest(sent)
    assert digest(from_bytes(to_bytes(sent))) == found
    assert digest(from_records(to_records(sent))) == found
    assert (found.model_sha256 is None) == (not parameters)


def test_head_and_kind_are_no_content():
    assert digest(Parcel({"rows": 3, HEAD: "x", "kind": "train"})) == digest(Parcel({"rows": 3}))


def test_everything_else_is():
    one = np.arange(6.0)
    parcels = [
        Parcel(),
        Parcel({"rows": 3}),
        Parcel({}, {"a": one}),
        Parcel({}, {"b": one}),
        Parcel({}, {}, [one]),
        Parcel({}, {}, [], {"a": math.nan}),
        Parcel({"a": math.nan}),
    ]
    assert len({digest(parcel).sha256 for parcel in parcels}) == len(parcels)


def test_a_model_is_its_arrays_in_order_with_shape_and_dtype():
    one, two = np.arange(6, dtype=np.float32), np.ones(3, np.float32)
    models = [
        [one, two],
        [two, one],
        [one],
        [one, two, np.zeros(0, np.float32)],
        [one.reshape(2, 3), two],
        [one.reshape(3, 2), two],
        [one.view(np.int32), two],
        [np.concatenate([one, two])],
    ]
    assert len({model_sha256(model) for model in models}) == len(models)
    fortran = np.asfortranarray(one.reshape(2, 3))
    assert model_sha256([fortran]) == model_sha256([one.reshape(2, 3)])


def test_the_package_has_one_hash_installed_or_zipped(tmp_path):
    code = "from oncotrain.federation.audit import app_hash; print(app_hash.__file__); print(app_hash.app_sha256())"
    archive = write_code(tmp_path / "oncotrain.zip")
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    file, found = done.stdout.split()
    assert file.startswith(str(archive))
    assert found == app_sha256()

"""jobs/federated_client.py of a site that sends wrong updates: WRONG is nan, shape or norm."""

import os
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from oncotrain.federation.wire import parcel

_common: list[np.ndarray] = []
_from_records, _to_records = parcel.from_records, parcel.to_records


def _spoil(arrays: list[np.ndarray]) -> list[np.ndarray]:
    match os.environ["WRONG"]:
        case "nan":
            return [array * np.nan for array in arrays]
        case "shape":
            return [np.zeros((*array.shape, 2), array.dtype) for array in arrays]
        case "norm":
            return [old + 10 * (new - old) for new, old in zip(arrays, _common, strict=True)]
        case other:
            raise ValueError(other)


def _hear(records: Any) -> parcel.Parcel:
    request = _from_records(records)
    if request.parameters:
        _common[:] = request.parameters
    return request


def _say(reply: parcel.Parcel) -> Any:
    return _to_records(replace(reply, parameters=_spoil(list(reply.parameters))) if reply.parameters else reply)


parcel.from_records, parcel.to_records = _hear, _say
runpy.run_path(str(Path(__file__).parents[2] / "jobs" / "federated_client.py"), run_name="__main__")

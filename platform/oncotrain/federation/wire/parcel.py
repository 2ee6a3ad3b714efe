"""What travels between coordinator and site: JSON, sums and parameters. No pickle on any leg.

Between coordinator and site a parcel is Flower records; between a site's driver and its ranks it is bytes.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
"""Keys of the records in a message; the first two are those that Flower's strategies use by default."""
_BODY, _SUMS = "body", "sums"


@dataclass(frozen=True)
class Parcel:
    """One message's content."""

    body: Mapping[str, Any] = field(default_factory=dict)
    """JSON."""
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Named arrays that are not averaged: statistics and metric sums."""
    parameters: Sequence[np.ndarray] = ()
    """Model parameters, in the model's order."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Scalars that a strategy averages or weighs by."""


def to_records(parcel: Parcel) -> RecordDict:
    """Flower records of a parcel; a strategy finds parameters and metrics where it expects them."""
    config = ConfigRecord({_BODY: json.dumps(parcel.body)})
    if parcel.sums:
        config[_SUMS] = _pack(parcel.sums)
    records = RecordDict({CONFIG: config})
    if parcel.parameters:
        records[ARRAYS] = ArrayRecord(list(parcel.parameters))
    if parcel.metrics:
        records[METRICS] = MetricRecord(dict(parcel.metrics))
    return records


def from_records(records: RecordDict) -> Parcel:
    """The parcel in Flower records; settings that a strategy added beside it join its body.

    Raises ValueError or KeyError if they hold none.
    """
    config = dict(records.config_records[CONFIG])
    body = json.loads(str(config.pop(_BODY)))
    sums = config.pop(_SUMS, b"")
    arrays = records.array_records.get(ARRAYS)
    metrics: Mapping[str, Any] = records.metric_records.get(METRICS, {})
    return Parcel(
        body={**body, **config},
        sums=_unpack(sums) if isinstance(sums, bytes) and sums else {},
        parameters=arrays.to_numpy_ndarrays() if arrays is not None else (),
        metrics={name: float(value) for name, value in metrics.items()},
    )


def body_of(records: RecordDict) -> dict[str, Any]:
    """The body alone of the parcel in Flower records; arrays are not decoded."""
    body: dict[str, Any] = json.loads(str(records.config_records[CONFIG][_BODY]))
    return body


def parameters_of(records: RecordDict) -> Iterator[np.ndarray]:
    """The parameters alone of the parcel in Flower records, decoded one array at a time."""
    arrays = records.array_records.get(ARRAYS)
    return (array.numpy() for array in arrays.values()) if arrays is not None else iter(())


def to_bytes(parcel: Parcel) -> bytes:
    """One NumPy archive."""
    header = json.dumps({"body": parcel.body, "metrics": parcel.metrics}).encode()
    arrays = {f"sums/{name}": value for name, value in parcel.sums.items()}
    arrays |= {f"parameters/{index}": value for index, value in enumerate(parcel.parameters)}
    return _pack({"header": np.frombuffer(header, dtype=np.uint8), **arrays})


def from_bytes(content: bytes) -> Parcel:
    """The parcel in an archive. Raises ValueError or KeyError if it holds none."""
    arrays = _unpack(content)
    header = json.loads(arrays.pop("header").tobytes())
    sums = {name.removeprefix("sums/"): value for name, value in arrays.items() if name.startswith("sums/")}
    parameters = [arrays[f"parameters/{index}"] for index in range(len(arrays) - len(sums))]
    return Parcel(header["body"], sums, parameters, header["metrics"])


def size(records: RecordDict) -> int:
    """Bytes of a message's content as serialized; framing by HTTP and TLS comes on top."""
    return sum(record.count_bytes() for record in records.values())


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    # Names are data here (a figure's, a drug's) and may collide with savez's own parameter.
    np.savez(buffer, allow_pickle=False, **{f"/{name}": value for name, value in arrays.items()})
    return buffer.getvalue()


def _unpack(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name.removeprefix("/"): archive[name] for name in archive.files}

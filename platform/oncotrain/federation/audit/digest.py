"""What a message held, as figures that both sides compute alike, however it travelled between them."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from oncotrain.federation.audit.heads import HEAD
from oncotrain.federation.wire.parcel import Parcel

_NOT_CONTENT = (HEAD, "kind")
"""Keys of a body that are not hashed: the head follows from the line that holds the hash, the kind is said apart."""


class Digest(NamedTuple):
    """Of one parcel."""

    bytes: int
    """Arrays, and body and metrics as JSON; framing, and the head, come on top."""
    sha256: str
    """Of all that, in a fixed order."""
    model_sha256: str | None
    """Of the parameters; None where there are none."""


def model_sha256(parameters: Sequence[np.ndarray]) -> str:
    """SHA-256 over each array's dtype, shape and bytes (C order), in the model's order."""
    digest = hashlib.sha256()
    for array in parameters:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def digest(parcel: Parcel) -> Digest:
    """The figures of a parcel: equal at the side that sends it and the side that receives it."""
    body = {key: value for key, value in parcel.body.items() if key not in _NOT_CONTENT}
    text = _json([body, {name: float(value) for name, value in parcel.metrics.items()}])
    names = sorted(parcel.sums)
    model = model_sha256(parcel.parameters) if parcel.parameters else None
    whole = _json([names, model_sha256([parcel.sums[name] for name in names]), model])
    size = len(text) + sum(array.nbytes for array in (*parcel.sums.values(), *parcel.parameters))
    return Digest(size, hashlib.sha256(text + whole).hexdigest(), model)


def run_and_round(request: Parcel) -> dict[str, Any]:
    """Which run and round a request says it belongs to."""
    run = str(request.body.get("run", ""))[:200].encode(errors="replace").decode()
    return {"run": run, "round": whole_number(request.body.get("round", 0))}


def whole_number(value: Any) -> int:
    """A number that the other side sent, 0 if it is none: a chain takes no NaN, and no text in its place."""
    return int(value) if isinstance(value, int | float) and abs(value) < 2**53 else 0


def _json(value: Any) -> bytes:
    """Sorted and compact, and NaN (the loss of a site without labels) is allowed."""
    travelled = json.loads(json.dumps(value))  # keys become text on the way, and sort as such
    return json.dumps(travelled, sort_keys=True, separators=(",", ":")).encode()

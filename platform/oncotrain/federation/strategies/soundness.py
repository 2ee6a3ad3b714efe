"""Whether a site's update can be averaged at all; one that cannot would spoil the model of everybody."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from flwr.app import Message

from oncotrain.federation.wire.parcel import ARRAYS, parameters_of


def defect(reply: Message, parameters: Sequence[np.ndarray]) -> str | None:
    """What is wrong with the parameters in a reply to `parameters`; None if nothing is.

    A strategy may have sites send several arrays for each parameter (SCAFFOLD), so a whole number of sets is allowed;
    so is none, where sites hide their updates.
    """
    count = len(reply.content.array_records.get(ARRAYS, ()))
    if count % len(parameters):
        return f"{count} arrays, where the model has {len(parameters)}"
    for number, array in enumerate(parameters_of(reply.content)):
        expected = parameters[number % len(parameters)]
        if array.shape != expected.shape:
            return f"array {number} has shape {array.shape}, where the model's has {expected.shape}"
        if not np.issubdtype(array.dtype, np.floating) and array.dtype != expected.dtype:
            return f"array {number} is of {array.dtype}, where the model's is of {expected.dtype}"
        if not np.isfinite(array).all():
            return f"array {number} has values that are not finite"
    return None


def oversized(lengths: Mapping[str, float], limit: float) -> list[str]:
    """The sites whose update is longer (L2) than `limit` times the median of the others'.

    Of fewer than three sites nobody can say which one is wrong: none is named.
    """
    if len(lengths) < 3:
        return []
    others = {site: [length for other, length in lengths.items() if other != site] for site in lengths}
    return [site for site in lengths if lengths[site] > limit * float(np.median(others[site]))]


def length(arrays: Iterable[np.ndarray], parameters: Sequence[np.ndarray]) -> float:
    """L2 norm of a change of `parameters`; what a strategy has a site send after them does not count."""
    pairs = zip(arrays, parameters, strict=False)
    return math.sqrt(sum(float(np.square(new.astype(np.float64) - old).sum()) for new, old in pairs))

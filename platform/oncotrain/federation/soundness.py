"""Whether a site's update can be averaged at all; one that cannot would spoil the model of everybody."""

from collections.abc import Sequence

import numpy as np
from flwr.app import Message

from oncotrain.federation.parcel import from_records


def defect(reply: Message, parameters: Sequence[np.ndarray]) -> str | None:
    """What is wrong with the parameters in a reply to `parameters`; None if nothing is.

    A strategy may have sites send several arrays for each parameter (SCAFFOLD), so a whole number of sets is allowed;
    so is none, where sites hide their updates.
    """
    arrays = from_records(reply.content).parameters
    if len(arrays) % len(parameters):
        return f"{len(arrays)} arrays, where the model has {len(parameters)}"
    for number, array in enumerate(arrays):
        expected = parameters[number % len(parameters)]
        if array.shape != expected.shape:
            return f"array {number} has shape {array.shape}, where the model's has {expected.shape}"
        if not np.issubdtype(array.dtype, np.floating) and array.dtype != expected.dtype:
            return f"array {number} is of {array.dtype}, where the model's is of {expected.dtype}"
        if not np.isfinite(array).all():
            return f"array {number} has values that are not finite"
    return None

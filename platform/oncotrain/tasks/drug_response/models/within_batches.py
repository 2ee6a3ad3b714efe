"""Values standardized batch by batch: a cohort or site against its own mean and spread, seen in training or not."""

from collections.abc import Mapping

import numpy as np

from oncotrain.tasks.drug_response.batches import Scale, moments_of, own_scale, scale_of


def batch_scales(values: np.ndarray, batches: np.ndarray) -> dict[str, Scale]:
    """The scale of each batch of rows by their label in `batches` (rows,); '' holds that of all rows."""
    overall = scale_of(moments_of(values))
    labels = np.unique(batches)
    own = {str(label): own_scale(moments_of(values[batches == label]), overall) for label in labels}
    return {**own, "": overall}


def standardized(values: np.ndarray, batches: np.ndarray, known: Mapping[str, Scale]) -> np.ndarray:
    """`values` (rows, columns), each row by the scale of its batch; NaN where a value is missing.

    A batch that is not `known` is standardized by its own rows among these, whose responses are not looked at; or like
    all training rows where these are too few.
    """
    made = np.empty_like(values)
    for label in np.unique(batches):
        rows = batches == label
        scale = known.get(str(label)) or own_scale(moments_of(values[rows]), known[""])
        made[rows] = (values[rows] - scale.centre) / scale.spread
    return made

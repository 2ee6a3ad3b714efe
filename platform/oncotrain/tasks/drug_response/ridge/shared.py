"""Round 2 of the ridge over shared directions: all responses together, so that one Gram matrix serves all.

As `models/shared_ridge.py`, but from sums, and with what was not observed filled by the sample's own mean over the
responses that were: how sensitive it is in general is most of what other responses tell of it.
"""

from collections.abc import Sequence

import numpy as np

from oncotrain.tasks.drug_response.models.ridge import Linear
from oncotrain.tasks.drug_response.models.spectrum import choose_penalty
from oncotrain.tasks.task import Sums


def shared_sums(coordinates: np.ndarray, responses: np.ndarray, patients: Sequence[str], floor: int) -> Sums:
    """What a site sends, float64.

    Args:
        coordinates: (rows, k), centred by the agreed centre.
        responses: (rows, responses), standardized; NaN where not observed.
        patients: Of each row.
        floor: Fewest patients over whom a sum may leave the site: a response of fewer counts as not observed.

    Returns:
        `count` (), and of coordinates beside filled responses `total` (k + responses,) and the upper triangle of their
        second moments, `second`.
    """
    observed = ~np.isnan(responses)
    people = np.unique(patients, return_inverse=True)[1]
    observed &= np.array([len(np.unique(people[mask])) >= floor for mask in observed.T])
    known = np.where(observed, responses, 0)
    mean = known.sum(axis=1) / np.maximum(observed.sum(axis=1), 1)
    both = np.hstack([coordinates, np.where(observed, responses, mean[:, None])])
    second = (both.T @ both)[np.triu_indices(both.shape[1])]
    return {"count": np.array(float(len(both))), "total": both.sum(axis=0), "second": second}


def solve_shared(parts: Sequence[Sums], components: int) -> Linear:
    """The ridge that the pooled rows would give: each direction of the responses has a penalty of its own, by GCV."""
    count, total, packed = (np.sum([part[name] for part in parts], axis=0) for name in ("count", "total", "second"))
    moments = np.zeros((len(total), len(total)))
    moments[np.triu_indices(len(total))] = packed
    mean = total / count
    moments = moments + np.triu(moments, 1).T - count * np.outer(mean, mean)
    gram, cross, responses = (
        moments[:components, :components],
        moments[:components, components:],
        moments[components:, components:],
    )
    variation, directions = np.linalg.eigh(responses)
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    projected = vectors.T @ cross @ directions
    penalty = choose_penalty(values, projected, np.maximum(variation, 0), int(count)).penalty
    weights = vectors @ (projected / (values[:, None] + penalty)) @ directions.T
    return Linear(weights, mean[components:] - mean[:components] @ weights)

"""A site's contribution to a round as one vector: the change of its parameters, its loss, its weight."""

import math
from collections.abc import Sequence

import numpy as np

from oncotrain.federation.secure.fixed_point import mean, weigh

Parameters = Sequence[np.ndarray]


def contribution(before: Parameters, after: Parameters, loss: float, weight: float) -> np.ndarray:
    """float64, 1-D, to be summed over sites; a loss of NaN is not counted."""
    change = [new.astype(np.float64) - old for old, new in zip(before, after, strict=True)]
    return weigh([*change, _counted(loss)], weight)


def contribution_length(before: Parameters) -> int:
    """Elements of a contribution to these parameters."""
    return len(contribution(before, before, math.nan, 0.0))


def average(total: np.ndarray, before: Parameters) -> tuple[list[np.ndarray], float]:
    """Weighted mean of the sites' parameters, in the dtypes of `before`, and of their losses (NaN if none has one).

    Raises DataError as `mean` does.
    """
    wide = [array.astype(np.float64) for array in before]
    *change, (loss, counted) = mean(total, [*wide, _counted(math.nan)])
    parameters = [(old + delta).astype(like.dtype) for old, delta, like in zip(wide, change, before, strict=True)]
    return parameters, float(loss / counted) if counted > 0 else math.nan


def _counted(loss: float) -> np.ndarray:
    """The loss and 1, or zeros where there is none."""
    return np.array([0.0, 0.0] if math.isnan(loss) else [loss, 1.0])

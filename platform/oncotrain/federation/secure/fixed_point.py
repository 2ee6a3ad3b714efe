"""Weighted updates as integers modulo 2 ** 64, whose sum is exact."""

import math
from collections.abc import Sequence

import numpy as np

from oncotrain.config.secure_aggregation import SecureAggregation
from oncotrain.errors import DataError, UserError


def require_room(settings: SecureAggregation, sites: int) -> None:
    """Raise UserError if the sum over `sites` sites could leave the signed range of 64 bits."""
    if sites * math.ceil(settings.clip * 2.0**settings.bits) >= 2**63:
        raise UserError(
            f"secure_aggregation: {sites} sites, clip {settings.clip:g} and {settings.bits} bits overflow 64 bits"
        )


def weigh(update: Sequence[np.ndarray], weight: float) -> np.ndarray:
    """`weight` times every element of `update`, array after array, and `weight` itself as the last: float64, 1-D."""
    return np.concatenate([*(weight * array.astype(np.float64).ravel() for array in update), [float(weight)]])


def mean(total: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The weighted mean in a sum of vectors made by `weigh`; shapes and dtypes as in `like`.

    Each element is wrong by at most (sites * 2 ** -(bits + 1)) * (1 + abs(mean)) / (sum of weights - sites * 2 **
    -(bits + 1)): the bound of `encode` for numerator and denominator. Rounding of floats comes on top: a part in
    2 ** 52, or that of `like`.

    Raises DataError if `total` has another length, or the weights sum to nothing.
    """
    sizes = [array.size for array in like]
    if total.shape != (sum(sizes) + 1,):
        raise DataError(f"the sum has shape {total.shape}; expected are {sum(sizes)} elements and their weight")
    if total[-1] <= 0:
        raise DataError("the sites' weights sum to nothing, so there is no mean")
    parts = np.split(total[:-1] / total[-1], np.cumsum(sizes)[:-1])
    return [part.reshape(array.shape).astype(array.dtype) for part, array in zip(parts, like, strict=True)]


def encode(values: np.ndarray, settings: SecureAggregation) -> np.ndarray:
    """float64 `values` rounded to multiples of 2 ** -bits (nearest, ties to even) as uint64, two's complement.

    Nearest and not stochastic rounding: with steps this fine the bias does not matter, the bound is half as wide
    (2 ** -(bits + 1) an element and site), and a run can be repeated.

    Raises DataError if an element is not finite or beyond `clip`: bounding it here would change the mean in silence.
    """
    if not np.isfinite(values).all():
        raise DataError("the weighted update has elements that are not finite; it stays at the site")
    largest = float(np.abs(values).max(initial=0.0))
    if largest > settings.clip:
        raise DataError(f"the weighted update reaches {largest:g}, beyond secure_aggregation.clip = {settings.clip:g}")
    return np.rint(values * 2.0**settings.bits).astype(np.int64).view(np.uint64)


def decode(total: np.ndarray, settings: SecureAggregation) -> np.ndarray:
    """float64 of a uint64 sum of encoded vectors."""
    return total.view(np.int64) / 2.0**settings.bits

"""Which sites train in a round: a pure function of (seed, round, sites)."""

from collections.abc import Collection

import numpy as np


def draw_sites(
    seed: int, number: int, sites: Collection[str], online: Collection[str], fraction: float, minimum: int
) -> list[str]:
    """`fraction` of the sites `online` for round `number`, rounded, at least `minimum` where there are so many.

    All `sites` are put in an order drawn from (seed, number), of which the first that are online train: one that is
    away changes nothing but its own place.
    """
    count = max(minimum, round(fraction * len(online)))
    order = np.random.default_rng((seed, number)).permutation(sorted(sites)).tolist()
    return sorted([site for site in order if site in online][:count])

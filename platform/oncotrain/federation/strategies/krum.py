"""Krum: the parameters of one site, the one whose nearest neighbours are nearest."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg

from oncotrain.federation.wire.parcel import ARRAYS


class Krum(FedAvg):
    """Blanchard et al. 2017, Machine learning with adversaries, arXiv:1703.02757.

    Flower's own Krum takes distances as |a|^2 + |b|^2 - 2 a b in the parameters' dtype; in float32, between sites that
    a round of steps moved a little, that is rounding alone, and it chose another site than exact distances do in 7
    cases of 10. Here differences come first, in float64. The metrics are the mean over all sites, not the chosen one's.
    """

    def __init__(self, malicious_sites: int, **options: Any) -> None:
        """At most `malicious_sites` answers are arbitrary; options are FedAvg's."""
        super().__init__(**options)
        self.malicious_sites = malicious_sites

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The parameters of the chosen site."""
        replies = [reply for reply in replies if not reply.has_error()]
        mean, metrics = super().aggregate_train(server_round, replies)
        if mean is None:
            return None, metrics
        sites = [reply.content.array_records[ARRAYS] for reply in replies]
        return sites[krum([site.to_numpy_ndarrays() for site in sites], self.malicious_sites)], metrics


def krum(sites: Sequence[Sequence[np.ndarray]], malicious: int) -> int:
    """The index of the site with the smallest sum of squared distances to its n - malicious - 2 nearest.

    A site that is not finite is infinitely far from every other.
    """
    vectors = [np.concatenate([layer.ravel() for layer in site]).astype(np.float64) for site in sites]
    distances = np.zeros((len(vectors), len(vectors)))
    with np.errstate(invalid="ignore", over="ignore"):
        for i, one in enumerate(vectors):
            for j in range(i):
                squared = np.sum((one - vectors[j]) ** 2)
                distances[i, j] = distances[j, i] = squared if np.isfinite(squared) else np.inf
    np.fill_diagonal(distances, np.inf)
    nearest = max(1, len(vectors) - malicious - 2)
    return int(np.argmin(np.sort(distances, axis=1)[:, :nearest].sum(axis=1)))

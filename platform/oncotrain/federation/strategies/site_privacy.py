"""Privacy of whole sites: McMahan et al. 2018, Learning differentially private recurrent language models,
arXiv:1710.06963. Sites clip the change of their parameters, the coordinator adds noise to the mean of the changes.

Flower's wrappers around a strategy are not used. Their noise is for a number of sites fixed before the round, so that
without a site it is too little (or with their accountant the round is lost); it comes after the strategy's own step,
where nothing bounds a site's share of FedAdam's; weights are the sites' own word; the generator is NumPy's global one;
and a site that changed nothing divides by zero.
"""

import math
import secrets
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import torch

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.privacy import SitePrivacyConfig
from oncotrain.errors import UserError
from oncotrain.federation.strategies.local_steps import LocalSteps
from oncotrain.federation.strategies.participation import draw_sites
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.training.accountant import PrivateSteps, epsilon
from oncotrain.training.fit import Correction, StepLoss
from oncotrain.training.run import RunDirectory

Parameters = Sequence[np.ndarray]

FILE = "releases.json"
"""Of the run's directory: how many noisy means have a part of each site."""


class ClippedSteps(LocalSteps):
    """Another strategy's steps, with no more change of the common parameters than `norm`.

    It is the site that clips: its bound holds whatever the coordinator does, and where updates are hidden from it.
    """

    def __init__(self, steps: LocalSteps, norm: float) -> None:
        self.steps, self.norm = steps, norm
        self._common: Parameters = ()

    def begin(self, model: torch.nn.Module, request: Parcel) -> Correction | None:
        """As the other strategy."""
        self._common = request.parameters
        return self.steps.begin(model, request)

    def end(self, model: torch.nn.Module, history: Sequence[StepLoss]) -> list[np.ndarray]:
        """The other strategy's answer, clipped."""
        return clip(self._common, self.steps.end(model, history), self.norm)


def clip(before: Parameters, after: Parameters, norm: float) -> list[np.ndarray]:
    """`after`, pulled towards `before` until the L2 norm of the change of all parameters is `norm` or less.

    Exact to the rounding of the parameters' dtypes; within `norm`, `after` as it is.
    """
    changes = [new.astype(np.float64) - old for old, new in zip(before, after, strict=True)]
    found = math.sqrt(sum(float(np.vdot(change, change)) for change in changes))
    if found <= norm:
        return list(after)
    return [(old + change * (norm / found)).astype(old.dtype) for old, change in zip(before, changes, strict=True)]


def add_noise(mean: Parameters, sites: int, privacy: SitePrivacyConfig) -> list[np.ndarray]:
    """`mean` of so many clipped updates, with noise; shapes and dtypes as they are.

    A site moves the mean by `clipping_norm / sites` or less, which the noise's deviation is a multiple of. It follows
    from a secret of the operating system, never from the run's seed, which every participant knows: so a private run
    cannot be repeated exactly.
    """
    rng = np.random.default_rng(secrets.randbits(128))
    deviation = privacy.noise_multiplier * privacy.clipping_norm / sites
    return [(array + deviation * rng.standard_normal(array.shape)).astype(array.dtype) for array in mean]


def site_epsilon(privacy: SitePrivacyConfig, releases: int) -> float:
    """What so many noisy means, each with a part of one site, tell of that site.

    Neighbours are two runs in one of which the site's updates are zero: who takes part is no secret. Which sites train
    is drawn from a seed that all know, so drawing them does not count as sampling.
    """
    return epsilon([PrivateSteps(1.0, privacy.noise_multiplier, releases)], privacy.delta)


def require_affordable(federated: FederatedConfig, seed: int, sites: Collection[str], source: str) -> None:
    """Raises UserError, before anything is trained, if the rounds would spend more than `max_epsilon`."""
    privacy = federated.site_privacy
    if privacy is None:
        return
    drawn = Counter(
        site
        for number in range(1, federated.rounds + 1)
        for site in draw_sites(seed, number, sites, sites, federated.fraction, federated.min_sites)
    )
    found = site_epsilon(privacy, max(drawn.values()))
    if found > privacy.max_epsilon:
        raise UserError(
            f"{source}: federated.site_privacy.max_epsilon is {privacy.max_epsilon:g}; {federated.rounds} rounds take "
            f"epsilon to {found:.3g} at delta {privacy.delta:g}: fewer rounds, a smaller fraction or more noise"
        )


class Releases:
    """Counts, over restarts of a run, the noisy means that each site has a part in. A crash counts as released."""

    def __init__(self, run: RunDirectory, privacy: SitePrivacyConfig) -> None:
        self.run, self.privacy = run, privacy
        self._counts: Counter[str] = Counter(run.read_json(FILE) if run.exists(FILE) else {})

    def spend(self, sites: Collection[str]) -> dict[str, float]:
        """Write down one more release; epsilon of each site of the run so far.

        Raises UserError, and writes nothing, if that is more than `max_epsilon`.
        """
        counts = self._counts + Counter(sites)
        spent = {site: site_epsilon(self.privacy, count) for site, count in counts.items()}
        beyond = sorted(site for site, found in spent.items() if found > self.privacy.max_epsilon)
        if beyond:
            raise UserError(
                f"{self.run.uri}: one more round takes {', '.join(beyond)} beyond federated.site_privacy.max_epsilon = "
                f"{self.privacy.max_epsilon:g}; rounds that were begun before a restart count"
            )
        self._counts = counts
        self.run.write_json(dict(counts), FILE)
        return spent

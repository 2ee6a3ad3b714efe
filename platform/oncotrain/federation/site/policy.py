"""What a site allows at all: `audit/policy.yaml` held against a run, before anything of it is answered."""

from collections.abc import Collection, Iterator

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.load import parse_yaml
from oncotrain.config.policy import SitePolicy
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.training.data import RunData

FILE = "policy.yaml"
"""Of the zone `audit`: `SitePolicy`."""


class PolicyError(UserError):
    """The site does not allow the run."""


def read_policy(lake: Lake) -> SitePolicy:
    """The site's floor; one that asks for nothing where it wrote none. Raises UserError if the file does not fit."""
    if not lake.exists("audit", FILE):
        return SitePolicy()
    return parse_yaml(lake.read_bytes("audit", FILE), SitePolicy, lake.path("audit", FILE))


def require_allowed(policy: SitePolicy, lake: Lake, federated: FederatedConfig, data: RunData) -> None:
    """Raises PolicyError with everything that the run, or this site's part in it, falls short of."""
    found = list(_violations(policy, federated, data))
    if found:
        raise PolicyError(f"{lake.path('audit', FILE)}: {'; '.join(found)}")


def allowed_apps(lake: Lake, named: Collection[str], installed: str) -> frozenset[str]:
    """The apps that may send messages: those `named`, or the policy's, or the one `installed`.

    Raises PolicyError if one is named that the policy does not have.
    """
    allowed = read_policy(lake).apps
    if allowed is None:
        return frozenset(named or [installed])
    strangers = sorted(set(named) - allowed)
    if strangers:
        raise PolicyError(f"{lake.path('audit', FILE)}: apps does not have {', '.join(strangers)}, which --app names")
    return frozenset(named or allowed)


def _violations(policy: SitePolicy, federated: FederatedConfig, data: RunData) -> Iterator[str]:
    secure = federated.secure_aggregation
    if policy.min_training_rows:
        rows = len(data.split.rows(data.dataset, "train"))
        yield from _too_few("min_training_rows", policy.min_training_rows, "training rows here", rows)
    patients = len(data.split.train)
    yield from _too_few("min_training_patients", policy.min_training_patients, "training patients here", patients)
    yield from _too_few("min_sites", policy.min_sites, "federated.min_sites", federated.min_sites)
    if secure:  # so many are in every sum, which a site sees to itself
        yield from _too_few("min_sites", policy.min_sites, "federated.secure_aggregation.threshold", secure.threshold)
    elif policy.secure_aggregation:
        yield "secure_aggregation is required, and the run is without"
    yield from _not_allowed("strategies", policy.strategies, {federated.strategy.name})
    yield from _not_allowed("metrics", policy.metrics, set(data.task.metrics))
    yield from _not_allowed("fits", policy.fits, {fit.name for fit in data.task.fits})


def _too_few(key: str, floor: int, what: str, count: int) -> Iterator[str]:
    if count < floor:
        yield f"{key} is {floor}, {what}: {count}"


def _not_allowed(key: str, allowed: frozenset[str] | None, asked: set[str]) -> Iterator[str]:
    if allowed is not None and asked - allowed:
        names = ", ".join(sorted(allowed)) or "none"
        yield f"{key} allows {names}; the run asks for {', '.join(sorted(asked - allowed))}"

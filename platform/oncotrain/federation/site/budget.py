"""What a site's patients have spent of their privacy in all runs, and the limit that the site set itself.

Every private round is a line of the site's audit, written before the round is computed: a crash counts as spent. All
runs of a site compose, whichever dataset they read, for a patient may be in several.
"""

from collections.abc import Mapping
from typing import Any

from oncotrain.config.load import parse_yaml
from oncotrain.config.privacy import Budget, SiteBudget
from oncotrain.errors import UserError
from oncotrain.lake.audit import append, read, verify
from oncotrain.lake.filesystem import Lake, exclusive
from oncotrain.training.accountant import PrivateSteps, epsilon

FILE = "privacy.yaml"
"""Of the zone `audit`: `SiteBudget`."""
ACTION = "privacy"


class BudgetError(UserError):
    """The round would spend more than the run or the site may."""


def read_budget(lake: Lake) -> SiteBudget | None:
    """The site's own limit; None where it set none. Raises UserError if the file does not fit."""
    if not lake.exists("audit", FILE):
        return None
    return parse_yaml(lake.read_bytes("audit", FILE), SiteBudget, lake.path("audit", FILE))


def require_no_budget(lake: Lake) -> None:
    """Raises BudgetError if the site trains privately only: without noise no epsilon is enough."""
    budget = read_budget(lake)
    if budget and budget.private_only:
        raise BudgetError(
            f"{lake.path('audit', FILE)}: max_epsilon is {budget.max_epsilon:g}, and a run without train.privacy has "
            "none; private_only: false allows it"
        )


def spend(lake: Lake, site: str, event: Mapping[str, Any], steps: PrivateSteps, run_budget: Budget) -> float:
    """Write down that `steps` are spent, unless the run or the site would then have spent too much.

    Args:
        event: `run`, and what else the line shall say.

    Returns:
        Epsilon of the run at this site so far, these steps included, at the run's delta.

    Raises:
        BudgetError: They are not allowed; nothing is written.
        UserError: The site has set no budget.
        DataError: The audit's chain is broken, so that nobody knows what was spent.
    """
    site_budget = read_budget(lake)
    if site_budget is None:
        raise UserError(
            f"{lake.path('audit', FILE)}: is missing; a site that trains privately says there, as max_epsilon and "
            "delta, what all runs together may spend of its patients' privacy"
        )
    with exclusive(lake.fs, lake.path("audit", f".{site}.{ACTION}.lock")):
        verify(lake, site)
        lines = [line["event"] for line in read(lake, site) if line["event"].get("action") == ACTION]
        before = [(line["run"], PrivateSteps(*(line[name] for name in PrivateSteps._fields))) for line in lines]
        of_run = [*(spent for run, spent in before if run == event["run"]), steps]
        of_site = [*(spent for _, spent in before), steps]
        for whose, spent, budget in (("run", of_run, run_budget), ("site", of_site, site_budget)):
            found = epsilon(spent, budget.delta)
            if found > budget.max_epsilon:
                raise BudgetError(
                    f"{steps.steps} more steps would take the {whose} to epsilon {found:.3g} at delta "
                    f"{budget.delta:g}; its max_epsilon is {budget.max_epsilon:g}"
                )
        append(lake, site, {"action": ACTION, **event, **steps._asdict()})
    return epsilon(of_run, run_budget.delta)

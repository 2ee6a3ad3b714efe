"""Before the first round: sites and coordinator agree on configuration, contract and plan."""

from collections.abc import Mapping

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.schedule import shared_settings
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.tasks import Plan, Sums, Task


def collect_offers(sites: Sites, config: RunConfig, source: str) -> dict[str, Parcel]:
    """What each site can bring: `contract`, `dataset` (name, version, sha256) and `training_rows`.

    Raises UserError naming the keys in which a site's configuration differs from this one, or a client that has
    another site's key; DataError for a site that does not answer.
    """
    offers = sites.ask_all("query.contract", Parcel({"settings": shared_settings(config)}))
    for site, offer in offers.items():
        if offer.body["site"] != site:
            raise UserError(f"the client with the key of {site} calls itself {offer.body['site']!r}; which is it?")
        if offer.body["differing"]:
            keys = ", ".join(offer.body["differing"])
            raise UserError(f"{source}: the configuration of {site} differs in {keys}; all participants use the same")
    return offers


def agree_on_plan(sites: Sites, task: Task, offers: Mapping[str, Parcel]) -> Plan:
    """The plan, made from the contracts in `offers`, the sites' statistics and fits, and known to every site.

    Raises UserError if contracts do not fit together, DataError if no site may show its statistics.
    """
    contract = task.agree([offer.body["contract"] for offer in offers.values()])
    statistics = _sums(sites, "query.statistics", Parcel({"contract": contract}))
    plan = task.plan(contract, task.merge_statistics(statistics))
    for fit in task.fits:
        plan = fit.fitted(plan, _sums(sites, "query.fit", Parcel({"fit": fit.name, "plan": plan})))
    sites.ask_all("query.plan", Parcel({"plan": plan}))
    return plan


def _sums(sites: Sites, kind: str, request: Parcel) -> list[Sums]:
    """Sums over training rows, of the sites that may show theirs."""
    answers = sites.ask_all(kind, request)
    sums = [dict(answer.sums) for answer in answers.values() if not answer.body.get("withheld")]
    if not sums:
        raise DataError("every site has fewer training patients than federated.min_patients; no plan can be made")
    return sums

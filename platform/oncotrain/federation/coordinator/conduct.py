"""A federated run as the coordinator conducts it: agreement, rounds, test, summary."""

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.privacy import ControlConfig, PrivacyConfig
from oncotrain.config.training import RunConfig, TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.agreement import agree_on_plan, collect_offers
from oncotrain.federation.coordinator.rounds import Rounds
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.disclosure import require_no_exact_sums
from oncotrain.federation.schedule import federated_section, federated_train
from oncotrain.federation.secure.roster import Roster
from oncotrain.federation.strategies.site_privacy import require_affordable
from oncotrain.federation.strategies.strategy import create_strategy
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import canonical_json
from oncotrain.log import get_logger
from oncotrain.tasks import Task, create_task
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.rank import best_point
from oncotrain.training.run import RunDirectory, json_figures, run_name
from oncotrain.training.sampling import rows_seen, sample_rate
from oncotrain.training.state import get_parameters, initial_state


def conduct(sites: Sites, lake: Lake, config: RunConfig, source: str, roster: Roster | None = None) -> dict[str, Any]:
    """Train one model with all `sites`; the directory is `runs/<run>/` of the coordinator's `lake`.

    A finished run of the same configuration and data is returned as it is, with `unchanged` true.

    Args:
        source: The configuration's file, for messages.
        roster: Needed where the configuration asks for secure aggregation.

    Returns:
        The summary, as in summary.json.

    Raises:
        UserError: Sites disagree on configuration or contract, there are fewer than `min_sites`, or the roster lacks.
        DataError: Too few sites answered, one refused to, or none may show its sums.
    """
    federated, task = federated_section(config, source), create_task(config.task, source)
    if federated.secure_aggregation and roster is None:
        raise UserError(f"{source}: federated.secure_aggregation needs the sites' roster")
    require_no_exact_sums(task, config, source)
    train = federated_train(config.train, federated)
    if len(sites.names) < federated.min_sites:
        raise UserError(f"{source}: federated.min_sites is {federated.min_sites}; {len(sites.names)} sites take part")
    require_affordable(federated, train.seed, sites.names.values(), source)
    sites.wait(len(sites.names), federated.join_deadline)
    offers = collect_offers(sites, config, source)
    datasets = {site: offer.body["dataset"] for site, offer in offers.items()}
    run = federated_run(lake, task, config, federated, {site: data["sha256"] for site, data in datasets.items()})
    if run.exists("summary.json"):
        return finished(run)
    sites.run = run.name
    run.write_config(config)
    plan = agree_on_plan(sites, task, offers)
    run.write_json(plan, "plan.json")
    rounds = Rounds(sites, create_strategy(federated, len(sites.names)), task, plan, train, federated, run, roster)
    rounds.train()
    rounds.report(federated.rounds, "testing")
    best = best_point(rounds.points, task.primary)
    state, _ = load_checkpoint(run, "best", initial_state(task, plan, train))
    request = Parcel({"name": run.name, "decision": best["decision"]}, {}, get_parameters(state.model))
    figures, withheld, untested = _test(sites, federated, task, request)
    run.write_json(figures, "figures.json")
    summary = {
        "run": run.name,
        "uri": run.uri,
        "task": task.name,
        "arm": arm_name(federated, train),
        "seed": train.seed,
        "datasets": datasets,
        "split": config.split.name,
        "rounds": federated.rounds,
        "steps": train.steps,
        "samples_seen": _samples_seen(rounds, {site: offer.body for site, offer in offers.items()}),
        "rounds_trained": {site: len(rounds.trained[site]) for site in offers},
        "rounds_lost": rounds.lost,
        "privacy": _privacy(train, rounds),
        **_costs(sites, rounds),
        "best_step": best["step"],
        "decision": best["decision"],
        "validation": best["figures"],
        "withheld": withheld,
        "untested": untested,
        "figures": figures,
    }
    run.write_json({"status": "done", **summary}, "summary.json")
    rounds.report(federated.rounds, "done")
    return summary


def federated_run(
    lake: Lake, task: Task, config: RunConfig, federated: FederatedConfig, datasets: Mapping[str, str]
) -> RunDirectory:
    """The directory of the run with this configuration on these data (site -> SHA-256 of its dataset)."""
    fingerprint = hashlib.sha256(canonical_json(dict(datasets))).hexdigest()
    return RunDirectory(lake, run_name(task.name, arm_name(federated, config.train), config, fingerprint))


def arm_name(federated: FederatedConfig, train: TrainConfig) -> str:
    """What reports call this way to train: ``federated:fedavg``, and before the colon ``+dp`` where it is private,
    ``+control`` where it is what a private run is compared with, ``+sitedp`` where each site is private as a whole,
    ``+secure`` where sites hide their updates."""
    marks = {
        "+dp": isinstance(train.privacy, PrivacyConfig),
        "+control": isinstance(train.privacy, ControlConfig),
        "+sitedp": federated.site_privacy is not None,
        "+secure": federated.secure_aggregation is not None,
    }
    return f"federated{''.join(mark for mark, there in marks.items() if there)}:{federated.strategy.name}"


def finished(run: RunDirectory) -> dict[str, Any]:
    """The summary of a run that is done already."""
    return {**run.read_json("summary.json"), "unchanged": True}


def _samples_seen(rounds: Rounds, offers: Mapping[str, Mapping[str, Any]]) -> int:
    """Over the sites, rows of the steps of those rounds in which each trained; of private runs as many as expected."""
    steps, train = rounds.federated.local_steps, rounds.train_config
    seen = 0
    for site, numbers in rounds.trained.items():
        rows = int(offers[site]["training_rows"])
        if train.privacy is not None:
            rate = sample_rate(int(offers[site]["training_patients"]), train.batch_size)
            seen += round(len(numbers) * steps * rows * rate)
            continue
        for number in numbers:
            before = rows_seen((number - 1) * steps, rows, train.batch_size)
            seen += rows_seen(number * steps, rows, train.batch_size) - before
    return seen


def _test(
    sites: Sites, federated: FederatedConfig, task: Task, request: Parcel
) -> tuple[dict[str, float | None], list[str], list[str]]:
    """Figures over the test patients of all sites that are there and may show their sums, and the names of those that
    may not, and of those that are gone.

    A site that is back before the others are done is asked again. Raises DataError if one refuses, fewer than
    `min_sites` are there, or none may show its sums.
    """
    answers: dict[str, Parcel] = {}
    asked, gone = set(sites.names.values()), set[str]()
    for _ in range(federated.round_attempts):
        answers |= sites.ask_each("evaluate.test", dict.fromkeys(asked, request))
        sites.require_no_refusal("evaluate.test", asked - answers.keys())
        gone = (gone - asked) | sites.lost
        asked = gone & sites.online()
        if not asked:
            break
    if len(answers) < federated.min_sites:
        raise DataError(f"evaluate.test: min_sites is {federated.min_sites}; no answer from {', '.join(sorted(gone))}")
    if gone:
        get_logger(stage="federate").warning("the test figures are without %s: gone", ", ".join(sorted(gone)))
    withheld = [site for site, answer in answers.items() if answer.body.get("withheld")]
    parts = [dict(answer.sums) for site, answer in sorted(answers.items()) if site not in withheld]
    if not parts:
        raise DataError("every site has fewer test patients than federated.min_patients; there are no figures")
    return json_figures(task.figures(task.merge(parts))), sorted(withheld), sorted(gone)


def _privacy(train: TrainConfig, rounds: Rounds) -> dict[str, Any] | None:
    """What a private run guarantees at each site, to each training patient or to the site as a whole; None: nothing."""
    site_privacy = rounds.federated.site_privacy
    if site_privacy:
        return {"unit": "site", "delta": site_privacy.delta, "epsilon": rounds.epsilon}
    if isinstance(train.privacy, PrivacyConfig):
        return {"unit": "patient", "delta": train.privacy.delta, "epsilon": rounds.epsilon}
    return None


def _costs(sites: Sites, rounds: Rounds) -> dict[str, Any]:
    costs = {site: asdict(cost) for site, cost in sites.costs.items()}
    return {
        "sites": costs,
        "bytes_up": {site: cost["bytes_up"] for site, cost in costs.items()},
        "bytes_down": {site: cost["bytes_down"] for site, cost in costs.items()},
        "cpu_seconds": sum(cost["cpu_seconds"] for cost in costs.values()),
        "round_seconds": statistics.median(rounds.seconds),
        "round_seconds_beyond_sites": statistics.median(rounds.seconds_beyond_sites),
    }

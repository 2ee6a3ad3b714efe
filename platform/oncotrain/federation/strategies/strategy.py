"""Strategies by the name that a configuration gives them: the coordinator's part, on Flower, and the sites'."""

from typing import Any

from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedTrimmedAvg, Strategy

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.strategy import FedProxConfig, ScaffoldConfig
from oncotrain.config.training import TrainConfig
from oncotrain.federation.strategies.krum import Krum
from oncotrain.federation.strategies.local_steps import LocalSteps, ProximalSteps
from oncotrain.federation.strategies.scaffold import Scaffold, ScaffoldSteps
from oncotrain.federation.strategies.site_privacy import ClippedSteps

_STRATEGIES: dict[str, type[FedAvg]] = {
    "fedavg": FedAvg,
    "fedadam": FedAdam,
    "fedmedian": FedMedian,
    "fedtrimmedavg": FedTrimmedAvg,
    "krum": Krum,
}


def create_strategy(config: FederatedConfig, sites: int) -> Strategy:
    """The coordinator's part for so many sites.

    Means are weighted by what sites report under the name of `config.weighting`. It addresses every site online;
    which of them train in a round is drawn by `participation`, since Flower draws from Python's global generator.
    """
    common: dict[str, Any] = {
        "min_train_nodes": config.min_sites,
        "min_evaluate_nodes": config.min_sites,
        "min_available_nodes": config.min_sites,
        "weighted_by_key": config.weighting,
    }
    match config.strategy:
        case FedProxConfig():
            return FedAvg(**common)  # it differs at the sites, which know mu from their own configuration
        case ScaffoldConfig():
            return Scaffold(sites, **common)
        case chosen:
            return _STRATEGIES[chosen.name](**chosen.model_dump(exclude={"name"}), **common)


def create_local_steps(config: FederatedConfig, train: TrainConfig) -> LocalSteps:
    """A site's part; `train` is what its steps are configured by."""
    steps = _strategy_steps(config, train)
    return ClippedSteps(steps, config.site_privacy.clipping_norm) if config.site_privacy else steps


def _strategy_steps(config: FederatedConfig, train: TrainConfig) -> LocalSteps:
    match config.strategy:
        case FedProxConfig(proximal_mu=mu):
            return ProximalSteps(mu)
        case ScaffoldConfig():
            return ScaffoldSteps(train)
        case _:
            return LocalSteps()

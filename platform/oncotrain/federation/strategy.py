"""Flower's strategies by the name that a configuration gives them."""

from flwr.serverapp.strategy import FedAvg, Strategy

from oncotrain.config.federation import FederatedConfig


def create_strategy(config: FederatedConfig) -> Strategy:
    """The strategy; it averages with the weight that sites report under the name of `config.weighting`."""
    return FedAvg(
        min_train_nodes=config.min_sites,
        min_evaluate_nodes=config.min_sites,
        min_available_nodes=config.min_sites,
        weighted_by_key=config.weighting,
    )

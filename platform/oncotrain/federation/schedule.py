"""The part of a run's configuration that all participants share."""

from typing import Any

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.strategy import ScaffoldConfig
from oncotrain.config.training import RunConfig, TrainConfig
from oncotrain.errors import UserError

_OWN = ("engine", "ranks", "threads")
"""Keys of `train` that say where work is done, not what: each participant's own business."""


def federated_section(config: RunConfig, source: str) -> FederatedConfig:
    """The `federated:` section. Raises UserError if there is none, or its strategy cannot work with `train`."""
    if config.federated is None:
        raise UserError(f"{source}: key 'federated' is missing; it says how many rounds and local steps")
    if isinstance(config.federated.strategy, ScaffoldConfig):
        _require_plain_steps(config.train, source)
    return config.federated


def federated_train(train: TrainConfig, federated: FederatedConfig) -> TrainConfig:
    """What `fit` is given at a site: its schedule is as long as all rounds together."""
    return train.model_copy(update={"steps": federated.rounds * federated.local_steps})


def shared_settings(config: RunConfig) -> dict[str, Any]:
    """What must be equal at all participants, as flat JSON: dotted key -> value."""
    flat = _flatten(config.model_dump(mode="json"), "")
    return {key: value for key, value in flat.items() if key not in {f"train.{own}" for own in _OWN}}


def differing_keys(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Keys of `shared_settings` whose values differ, sorted."""
    missing = object()
    return sorted(key for key in one.keys() | other.keys() if one.get(key, missing) != other.get(key, missing))


def _require_plain_steps(train: TrainConfig, source: str) -> None:
    """SCAFFOLD reads a site's mean gradient off the way its parameters went: (before - after) / sum of the rates."""
    if train.optimizer.name != "sgd" or train.optimizer.momentum or train.precision == "float16":
        raise UserError(
            f"{source}: strategy scaffold needs train.optimizer.name sgd, momentum 0 and a precision whose steps are "
            f"never skipped; found {train.optimizer.name}, {train.optimizer.momentum}, {train.precision}"
        )


def _flatten(value: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, child in value.items()
        for name, leaf in _flatten(child, f"{prefix}.{key}" if prefix else key).items()
    }

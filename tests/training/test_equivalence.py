"""The arms differ only where they should: float64, both shipped models and losses, unequal shards, missing labels.

About a third of the drug response pairs are missing, and one row has none; some tiles have no classes, two no label.
"""

from typing import Any

import numpy as np
import pytest

from oncotrain.config.training import TrainConfig
from oncotrain.training.fit import fit
from oncotrain.training.state import TrainState, get_parameters, initial_state, set_parameters
from support.ranks import run_ranks

SITES = (np.arange(4), np.arange(4, 6), np.arange(6, 14))


def with_settings(case: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return case | {"train": TrainConfig.model_validate(case["train"].model_dump() | changes)}


def start(case: dict[str, Any]) -> TrainState:
    return initial_state(case["task"], case["plan"], case["train"])


def close(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_train_as_one(case, world):
    """Batches of 4 out of 14 rows: shards of 2 and 1 rows, and an empty one."""
    case = with_settings(case, steps=5, batch_size=4, clip_norm=0.5, optimizer={"name": "adamw", "lr": 0.01})
    alone = get_parameters(fit(start(case), 5, **case)[0].model)
    states = [start(case) for _ in range(world)]
    run_ranks(lambda ranks: fit(states[ranks.rank], 5, **case | {"collective": ranks}), world)
    assert not close(alone, get_parameters(start(case).model))
    assert all(close(alone, get_parameters(state.model)) for state in states)


def test_ranks_weighted_equally_would_not(case):
    """What a mean over ranks of each rank's own mean, the usual mistake, does to unequal shards."""

    class Mean:
        def __init__(self, ranks: Any) -> None:
            self.rank, self.world, self.gather, self._ranks = ranks.rank, ranks.world, ranks.gather, ranks

        def summed(self, tensors: Any) -> Any:
            *gradients, totals = tensors
            own = [gradient / max(totals[1].item(), 1.0) for gradient in gradients]
            *sums, totals = self._ranks.summed([*own, totals])
            return [*(each * totals[1].item() / self.world for each in sums), totals]

    alone = get_parameters(fit(start(case), 1, **case)[0].model)
    states = [start(case) for _ in range(3)]
    run_ranks(lambda ranks: fit(states[ranks.rank], 1, **case | {"collective": Mean(ranks)}), 3)
    assert not close(alone, get_parameters(states[0].model))


def test_fedavg_of_one_full_batch_step_is_one_step_on_the_union(case):
    """McMahan et al. 2017, section 2: FedSGD, weighted by the items that each site's loss counts."""
    central = get_parameters(fit(start(case), 1, **case)[0].model)
    local, counts = [], []
    for rows in SITES:
        state, history = fit(start(case), 1, **case | {"rows": rows})
        local.append(get_parameters(state.model))
        counts.append(history[0].count)

    def average(weights: list[float]) -> list[np.ndarray]:
        return [np.average(layer, axis=0, weights=weights) for layer in zip(*local, strict=True)]

    assert len(set(counts)) == len(SITES)
    assert close(central, average(counts))
    assert not close(central, average([1.0] * len(SITES)))
    assert not close(central, average([float(len(rows)) for rows in SITES])), "rows are not what the loss counts"


def test_one_site_over_many_rounds_is_training_at_once(case):
    """Parameters leave and come back between rounds, as they do between a site and the coordinator."""
    case = with_settings(
        case, steps=9, batch_size=4, augment=True, optimizer={"name": "adamw", "lr": 0.01}, schedule={"warmup": 0.2}
    )
    whole, whole_history = fit(start(case), 9, **case)
    site, rounds = start(case), []
    for _ in range(3):
        site, history = fit(site, 3, **case)
        rounds += history
        parameters = get_parameters(site.model)
        set_parameters(site.model, [np.zeros_like(layer) for layer in parameters])
        set_parameters(site.model, parameters)
    same = zip(get_parameters(whole.model), get_parameters(site.model), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)
    assert rounds == whole_history

"""`fit` is a pure function of configuration, seed and data: not of ranks, interruptions or the thread that reads."""

import math
import threading
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch

from oncotrain.config.training import OptimizerConfig, TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.strategies.local_steps import proximal
from oncotrain.training.fit import fit
from oncotrain.training.loader import batches
from oncotrain.training.state import TrainState, get_parameters, initial_state, learning_rate
from support.ranks import run_ranks
from support.vectors import MemoryDataset, VectorTask, make_rows


def start(settings: dict[str, Any]) -> TrainState:
    return initial_state(settings["task"], settings["plan"], settings["train"])


def changed(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    train = TrainConfig.model_validate(settings["train"].model_dump() | changes)
    return settings | {"train": train}


def distance(first: TrainState, second: TrainState) -> float:
    pairs = zip(get_parameters(first.model), get_parameters(second.model), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("optimizer", [{"name": "adamw", "lr": 0.01}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}])
def test_steps_in_parts_equal_steps_at_once(vectors, optimizer):
    settings = changed(vectors, optimizer=optimizer)
    whole, history = fit(start(settings), 20, **settings)
    first, early = fit(start(settings), 9, **settings)
    parts, late = fit(first, 11, **settings)
    assert distance(whole, parts) == 0
    assert early + late == history
    assert [record.step for record in history] == list(range(20))


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_number_of_ranks_does_not_change_the_parameters(vectors, world):
    """The last batch of an epoch has 7 rows: with 5 ranks of batch 8, shards are uneven; missing labels more so."""
    alone, history = fit(start(vectors), 20, **vectors)
    states = [start(vectors) for _ in range(world)]
    results = run_ranks(lambda ranks: fit(states[ranks.rank], 20, **vectors | {"collective": ranks}), world)
    for state, seen in results:
        assert distance(alone, state) < 1e-12
        assert np.allclose(
            [astuple(record)[:3] for record in seen], [astuple(record)[:3] for record in history], rtol=1e-12
        )
    assert distance(alone, start(vectors)) > 1e-3


def test_ranks_without_rows_take_part(vectors):
    settings = changed(vectors, batch_size=2)
    states = [start(settings) for _ in range(5)]
    results = run_ranks(lambda ranks: fit(states[ranks.rank], 6, **settings | {"collective": ranks}), 5)
    alone, _ = fit(start(settings), 6, **settings)
    assert max(distance(alone, state) for state, _ in results) < 1e-12


def test_the_loss_falls(vectors):
    settings = changed(vectors, steps=300, optimizer={"lr": 0.02})
    _, history = fit(start(settings), 300, **settings)
    assert np.nanmean([record.loss for record in history[-20:]]) < 0.3 * np.nanmean([r.loss for r in history[:20]])


def test_a_batch_without_labels_changes_nothing(vectors):
    rows = make_rows(10, missing=1.0)
    settings = vectors | {"dataset": MemoryDataset(rows, (10,)), "rows": np.arange(10)}
    state, history = fit(start(settings), 3, **settings, correction=lambda parameters: [w + 1 for w in parameters])
    assert distance(state, start(settings)) == 0
    assert [record.count for record in history] == [0, 0, 0]
    assert math.isnan(history[0].loss)


@pytest.mark.parametrize("change", [{"seed": 1}, {"augment": False}, {"clip_norm": 1e-3}, {"batch_size": 7}])
def test_what_should_matter_matters(vectors, change):
    settings = changed(vectors, **change)
    assert distance(fit(start(vectors), 5, **vectors)[0], fit(start(settings), 5, **settings)[0]) > 1e-6


def test_bfloat16_stays_near_float32(vectors):
    full, half = changed(vectors, precision="float32"), changed(vectors, precision="bfloat16")
    apart = distance(fit(start(full), 20, **full)[0], fit(start(half), 20, **half)[0])
    assert 0 < apart < 0.05


@pytest.mark.parametrize("size", [1, 3])
def test_accumulated_pieces_are_the_whole_batch(vectors, size):
    pieces = changed(vectors, micro_batch=size)
    whole, history = fit(start(vectors), 20, **vectors)
    accumulated, seen = fit(start(pieces), 20, **pieces)
    assert distance(whole, accumulated) < 1e-12
    assert np.allclose(
        [astuple(record)[:3] for record in seen], [astuple(record)[:3] for record in history], rtol=1e-12
    )
    collated = next(batches(range(1), **pieces))
    assert [len(piece["y"]) for piece in collated] == {1: [1] * 8, 3: [3, 3, 2]}[size]


def test_more_readers_change_nothing(vectors):
    several = changed(vectors, readers=3)
    whole, history = fit(start(vectors), 20, **vectors)
    read, seen = fit(start(several), 20, **several)
    assert distance(whole, read) == 0
    assert seen == history


def test_gradients_rounded_to_float16_stay_near(vectors):
    settings = changed(vectors, compression="float16")
    states = [start(settings) for _ in range(2)]
    travelled = []

    def work(ranks):
        exact = ranks.summed
        ranks.summed = lambda tensors: (travelled.append({tensor.dtype for tensor in tensors}), exact(tensors))[1]
        return fit(states[ranks.rank], 20, **settings | {"collective": ranks})

    (first, _), (second, _) = run_ranks(work, 2)
    assert {torch.float16} in travelled
    assert distance(first, second) == 0
    assert 0 < distance(first, fit(start(vectors), 20, **vectors)[0]) < 0.01


def test_float16_stays_near_float32(vectors):
    full, half = changed(vectors, precision="float32"), changed(vectors, precision="float16")
    state = start(half)
    state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": 16.0})  # so that no step overflows
    trained, _ = fit(state, 20, **half)
    assert 0 < distance(fit(start(full), 20, **full)[0], trained) < 0.05
    assert trained.scaler.get_scale() == 16


def test_an_overflow_in_float16_skips_the_step_and_lowers_the_scale(vectors):
    settings = changed(vectors, precision="float16", clip_norm=None)
    state = start(settings)
    state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": 2.0**40})
    after, _ = fit(state, 1, **settings)
    assert distance(after, start(settings)) == 0
    assert after.scaler.get_scale() == 2.0**39


class Anchored(VectorTask):
    """Its loss has mu / 2 * |w - anchor|^2 as a term of its own, per labelled item since fit takes the mean."""

    def __init__(self, anchor: list[torch.Tensor], mu: float) -> None:
        self.anchor, self.mu = anchor, mu

    def loss(self, model, batch):
        loss, count = super().loss(model, batch)
        squares = sum((w - a).square().sum() for w, a in zip(model.parameters(), self.anchor, strict=True))
        return loss + count.to(loss) * self.mu / 2 * squares, count


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_correction_is_the_gradient_of_a_term_of_the_loss(vectors, world, clip_norm):
    settings = changed(vectors, optimizer={"name": "sgd", "lr": 0.1}, clip_norm=clip_norm)
    anchor = [torch.ones_like(each) for each in start(settings).model.parameters()]
    states = [start(settings) for _ in range(world)]
    results = run_ranks(
        lambda ranks: fit(
            states[ranks.rank], 5, **settings | {"collective": ranks, "correction": proximal(anchor, 0.7)}
        ),
        world,
    )
    explicit, _ = fit(start(settings), 5, **settings | {"task": Anchored(anchor, 0.7)})
    assert max(distance(explicit, state) for state, _ in results) < 1e-12
    assert distance(explicit, fit(start(settings), 5, **settings)[0]) > 1e-3


def test_a_strong_proximal_term_keeps_parameters_near_where_they_began(vectors):
    settings = changed(vectors, optimizer={"name": "sgd", "lr": 1e-3}, clip_norm=None)
    anchor = [each.detach().clone() for each in start(settings).model.parameters()]
    moved = [
        distance(fit(start(settings), 20, **settings, correction=proximal(anchor, mu))[0], start(settings))
        for mu in (0.0, 10.0, 100.0, 1000.0)
    ]
    assert moved[0] > moved[1] > moved[2] > moved[3] > 0
    assert moved[3] < 0.15 * moved[0]
    assert moved[0] == distance(fit(start(settings), 20, **settings)[0], start(settings))


def test_a_lost_row_stops_every_rank(vectors):
    vectors["dataset"].lost = {11}
    states = [start(vectors) for _ in range(2)]
    raised = []

    def work(ranks):
        with pytest.raises(DataError, match="a row is missing"):
            fit(states[ranks.rank], 20, **vectors | {"collective": ranks})
        raised.append(ranks.rank)

    run_ranks(work, 2)
    assert sorted(raised) == [0, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_rows_that_are_not_given_back_are_noticed(vectors, monkeypatch):
    read = vectors["dataset"].read
    monkeypatch.setattr(vectors["dataset"], "read", lambda rows, columns: read(rows, columns)[1:])
    with pytest.raises(DataError, match="7 rows read where 8 were asked"):
        fit(start(vectors), 1, **vectors)


def test_a_loss_that_is_not_finite_names_its_step(vectors):
    settings = changed(vectors, optimizer={"name": "sgd", "lr": 1e200}, clip_norm=None)
    with pytest.raises(UserError, match=r"step [12]: .*not finite"):
        fit(start(settings), 20, **settings)


def test_nothing_to_train_on(vectors):
    with pytest.raises(DataError, match="no row to train on"):
        fit(start(vectors), 1, **vectors | {"rows": np.array([], dtype=np.int64)})


def test_learning_rate_is_a_function_of_the_step():
    train = TrainConfig(steps=100, batch_size=1, optimizer={"lr": 2.0}, schedule={"name": "cosine", "warmup": 0.1})
    rates = [learning_rate(step, train) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)
    wider = train.model_copy(update={"batch_size": 8, "optimizer": OptimizerConfig(lr=2.0, base_batch=2)})
    assert [learning_rate(step, wider) for step in range(100)] == pytest.approx([4 * rate for rate in rates])
    constant = TrainConfig(steps=100, batch_size=1, optimizer={"lr": 2.0}, schedule={"name": "constant"})
    assert {learning_rate(step, constant) for step in range(100)} == {2.0}

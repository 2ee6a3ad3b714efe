"""A private step: the plain one where nothing is clipped and no noise is added, and what each of the two then does."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oncotrain.config.training import TrainConfig
from oncotrain.errors import UserError
from oncotrain.tasks import create_task
from oncotrain.training.fit import fit
from oncotrain.training.loader import patient_batches
from oncotrain.training.private import private_gradients
from oncotrain.training.sampling import noise_rng, rows_of_patients
from oncotrain.training.state import TrainState, get_parameters, initial_state
from support.ranks import run_ranks
from support.vectors import MemoryDataset, make_rows

EVERYBODY = 1000
"""More patients expected than there are: each takes part in every step."""
CONTROL = {"control": True}


def private(noise: float = 1.0, clip: float = 1.0) -> dict[str, float]:
    return {"noise_multiplier": noise, "max_grad_norm": clip, "delta": 1e-5, "max_epsilon": 1.0}


def changed(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plain = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": {"name": "constant"}, "clip_norm": None}
    train = settings["train"].model_dump() | plain | {"augment": False} | changes
    return settings | {"train": TrainConfig.model_validate(train)}


def start(settings: dict[str, Any]) -> TrainState:
    return initial_state(settings["task"], settings["plan"], settings["train"])


def gradients(settings: dict[str, Any], steps: int = 1, secret: int | None = 7) -> list[np.ndarray]:
    """Of each step, the private gradient at the initial parameters, flat."""
    source = private_gradients(range(steps), start(settings), settings["train"].privacy, **settings, secret=secret)
    return [flat(gradient.values) for gradient in source]


def flat(tensors: Any) -> np.ndarray:
    return np.concatenate([np.asarray(tensor).ravel() for tensor in tensors])


def noise_of(step: int, like: list[torch.nn.Parameter], deviation: float, secret: int = 7) -> np.ndarray:
    rng = noise_rng(secret, step)
    return flat([rng.normal(scale=deviation, size=tuple(each.shape)) for each in like])


def step_of(settings: dict[str, Any]) -> tuple[np.ndarray, float]:
    """What one step of plain SGD subtracts, by `fit`, and the items that it saw."""
    before = flat(get_parameters(start(settings).model))
    state, history = fit(start(settings), 1, **settings)
    return before - flat(get_parameters(state.model)), history[0].count


def test_of_both_tasks_the_control_is_the_plain_step_of_the_loss_sum(case):
    """The plain step divides by the items, this one by the expected patients."""
    plain, items = step_of(changed(case))
    control, seen = step_of(changed(case, privacy=CONTROL))
    assert seen == items
    assert np.allclose(control * 14, plain * items, rtol=1e-9, atol=1e-11)


def test_of_both_tasks_noise_is_all_that_a_wide_clip_adds(case):
    control, wide = changed(case, privacy=CONTROL), changed(case, privacy=private(1e-6, 1e6))
    noise = noise_of(0, list(start(case).model.parameters()), 1.0)
    assert np.allclose(gradients(wide)[0] - noise / 14, gradients(control)[0], rtol=1e-9, atol=1e-11)


def test_all_rows_of_a_patient_are_clipped_as_one(vectors):
    """Against plain autograd over each patient's rows at once."""
    settings = changed(vectors, batch_size=EVERYBODY, micro_batch=2, privacy=private(1e-9, 0.5))
    state, expected = start(settings), 0.0
    patients = vectors["dataset"].index(["patient"])["patient"].to_numpy()[:47]
    for patient in sorted(set(patients)):
        rows = vectors["dataset"].read(np.flatnonzero(patients == patient), vectors["task"].columns)
        batch = {key: value.double() for key, value in vectors["task"].collate(rows, vectors["plan"], None).items()}
        loss, _ = vectors["task"].loss(state.model, batch)
        gradient = flat(torch.autograd.grad(loss, list(state.model.parameters())))
        expected += gradient * min(1.0, 0.5 / np.linalg.norm(gradient))
    assert np.allclose(gradients(settings)[0] * EVERYBODY, expected, atol=1e-8)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(removed=st.integers(0, 7), clip=st.floats(1e-3, 1e2), scale=st.sampled_from([1.0, 1e3, np.inf, np.nan]))
def test_nobody_moves_the_sum_by_more_than_the_clip(vectors, removed, clip, scale):
    """With the same noise; the removed patient's values may be anything."""
    rows = [dict(row) for row in make_rows(47)]
    for row in rows[6 * removed : 6 * removed + 6]:
        row["x"] = row["x"] * scale
    with_all = vectors | {"dataset": MemoryDataset(rows, (47,))}
    rest = np.array([number for number in range(47) if number // 6 != removed])
    settings = changed(with_all, batch_size=EVERYBODY, privacy=private(1.0, clip))
    difference = gradients(settings)[0] - gradients(settings | {"rows": rest})[0]
    assert np.linalg.norm(difference) * EVERYBODY <= clip * (1 + 1e-9)


def test_the_noise_is_as_wide_as_said_and_new_in_each_step(vectors):
    """Rows without labels have no gradient, so that what is left is the noise."""
    unlabelled = vectors | {"dataset": MemoryDataset(make_rows(50, missing=1.0), (50,))}
    draws = np.stack(gradients(changed(unlabelled, batch_size=4, privacy=private(1.5, 0.2)), steps=600))
    deviation = 1.5 * 0.2 / 4
    assert draws.std() == pytest.approx(deviation, rel=0.02)  # of 600 x 49 draws, whose error is 0.4 %
    assert abs(draws.mean()) < 4 * deviation / draws.size**0.5
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.03
    assert np.abs(draws).max() > 3 * deviation


def test_without_a_given_secret_no_two_calls_are_alike(vectors):
    settings = changed(vectors, privacy=private())
    assert not np.allclose(gradients(settings, secret=None)[0], gradients(settings, secret=None)[0])
    first, again = (flat(get_parameters(fit(start(settings), 3, **settings)[0].model)) for _ in range(2))
    assert not np.allclose(first, again), "the public seed must not decide"
    first, again = (flat(get_parameters(fit(start(settings), 3, **settings, secret=3)[0].model)) for _ in range(2))
    assert np.array_equal(first, again)


def test_a_step_that_samples_nobody_is_taken_with_its_noise(vectors):
    settings = changed(vectors, batch_size=1, privacy=private())
    batches = batches_of(settings, 40)
    empty = next(step for step, patients in enumerate(batches) if not patients)
    assert np.allclose(gradients(settings, 40)[empty], noise_of(empty, list(start(settings).model.parameters()), 1.0))


def test_whoever_is_sampled_is_in_with_all_rows(vectors):
    settings = changed(vectors, batch_size=4, micro_batch=4)
    sizes = {len(rows) for rows in patients_of(settings)}
    assert sizes == {5, 6}
    for patients in batches_of(settings, 30):
        assert all(sum(pieces) in sizes and max(pieces) <= 4 for pieces in patients)
    counts = [len(patients) for patients in batches_of(settings, 400)]
    assert np.mean(counts) == pytest.approx(4, abs=0.4)
    assert len(set(counts)) > 4


def patients_of(settings: dict[str, Any]) -> list[np.ndarray]:
    names = settings["dataset"].index(["patient"])["patient"].to_numpy()
    return rows_of_patients(settings["rows"], names[settings["rows"]])


def batches_of(settings: dict[str, Any], steps: int) -> list[list[list[int]]]:
    """Of each step, of each patient, the rows of each piece."""
    what = {key: settings[key] for key in ("task", "plan", "dataset", "train")}
    source = patient_batches(range(steps), patients=patients_of(settings), secret=7, **what)
    return [[[len(piece["y"]) for piece in pieces] for pieces in patients] for patients in source]


@pytest.mark.parametrize("case", ["drug_response"], indirect=True)
def test_dropout_differs_between_patients(case):
    """All rows alike, so that without dropout the sum would be one patient's gradient 14 times."""
    rows = case["dataset"].read([0] * 14, [*case["task"].columns, "patient"])
    rows = [row | {"patient": f"p{number}"} for number, row in enumerate(rows)]
    alike = case | {"dataset": MemoryDataset(rows, (14,), case["dataset"].manifest.features)}
    network = {"members": 2, "width": 16, "input_dropout": 0.2, "dropout": 0.5}
    dropping = {"task": create_task({"name": "drug_response", "clinical": ["tissue", "age"], "network": network}, "")}
    one = {"rows": np.arange(1)}
    train = changed(alike, privacy=CONTROL)
    assert np.allclose(gradients(train)[0], 14 * gradients(train | one)[0])
    assert not np.allclose(gradients(train | dropping)[0], 14 * gradients(train | dropping | one)[0])


def test_it_learns_in_spite_of_the_noise(vectors):
    settings = changed(vectors, batch_size=4, privacy=private(0.3, 1.0), optimizer={"lr": 0.02}, steps=300)
    _, history = fit(start(settings), 300, **settings, secret=1)
    losses = [record.loss for record in history]
    assert np.nanmean(losses[-50:]) < 0.6 * np.nanmean(losses[:20])


def test_several_ranks_are_refused(vectors):
    settings = changed(vectors, privacy=private())

    def work(ranks: Any) -> None:
        with pytest.raises(UserError, match="needs one rank"):
            fit(start(settings), 1, **settings | {"collective": ranks})

    run_ranks(work, 2)

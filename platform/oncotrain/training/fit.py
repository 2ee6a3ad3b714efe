"""The one training loop: every arm, whether central, local or federated, calls `fit`."""

import math
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Task
from oncotrain.training.collective import Collective, attempt, successes
from oncotrain.training.loader import Batch, batches, prefetch
from oncotrain.training.state import TrainState, learning_rate, trainable


@dataclass(frozen=True)
class StepLoss:
    """What one step saw, over all ranks."""

    step: int
    loss: float
    """Mean loss of the labelled items before the step; NaN where there were none."""
    count: float
    """Labelled items."""


def fit(
    state: TrainState,
    steps: int,
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    rows: np.ndarray,
    train: TrainConfig,
    collective: Collective,
) -> tuple[TrainState, list[StepLoss]]:
    """Take `steps` gradient steps from `state`.

    A step minimizes (loss sum over all ranks) / (count over all ranks) on one global batch, so the result is a pure
    function of (state, train, rows), whatever the number of ranks, up to rounding; dropout alone is drawn per rank.
    Fitting a steps and then b steps equals fitting a + b.

    Args:
        rows: Row numbers to train on (n,) int64, n > 0.
        train: The whole run's configuration; `train.steps` is the length of the schedule, not of this call.

    Returns:
        The state after the steps (its model is `state.model`, updated in place), and one record a step.

    Raises:
        DataError: Rows are missing; on every rank, whichever rank missed them.
        UserError: The loss or the gradient is not finite.
    """
    if not len(rows):
        raise DataError(f"{dataset.uri}: no row to train on")
    numbers = range(state.step, state.step + steps)
    source = prefetch(
        batches(numbers, task=task, plan=plan, dataset=dataset, rows=rows, train=train, collective=collective)
    )
    state.model.train()
    with closing(source):
        history = [_step(step, state, attempt(partial(next, source)), task, train, collective) for step in numbers]
    return TrainState(state.model, state.optimizer, state.step + steps), history


def _step(
    step: int,
    state: TrainState,
    batch: Batch | UserError | None,
    task: Task,
    train: TrainConfig,
    collective: Collective,
) -> StepLoss:
    parameters = trainable(state.model)
    state.optimizer.zero_grad()
    totals = torch.zeros(3, dtype=parameters[0].dtype, device=parameters[0].device)  # loss, count, failed ranks
    if isinstance(batch, UserError):
        totals[2] = 1
    elif batch is not None:
        loss, count = _loss(step, state.model, batch, task, train, collective)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        totals[:2] = torch.stack([loss.detach(), count.to(loss)])
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    collective.sum_([*gradients, totals])
    total, items, failed = totals.tolist()
    if failed:
        successes(collective.gather(batch if isinstance(batch, UserError) else None))
    if not items:
        return StepLoss(step, math.nan, 0.0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.div_(items)
    norm = torch.nn.utils.get_total_norm(gradients)
    if not (math.isfinite(total) and torch.isfinite(norm)):
        raise UserError(
            f"step {step}: loss {total / items} or gradient norm {norm.item()} is not finite;"
            " lower train.optimizer.lr, set train.clip_norm, or look for extreme values in the data"
        )
    if train.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, train.clip_norm, norm)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, train)
    state.optimizer.step()
    return StepLoss(step, total / items, items)


def _loss(
    step: int, model: torch.nn.Module, batch: Batch, task: Task, train: TrainConfig, collective: Collective
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss sum and count of this rank's rows; dropout is a function of (seed, step, rank), hence of the world size."""
    parameter = trainable(model)[0]
    placed = {
        name: tensor.to(parameter.device, parameter.dtype if tensor.is_floating_point() else None)
        for name, tensor in batch.items()
    }
    devices = [parameter.device] if parameter.device.type == "cuda" else []
    with torch.random.fork_rng(devices), _precision(train, parameter.device):
        torch.manual_seed(int(np.random.SeedSequence((train.seed, step, collective.rank)).generate_state(1)[0]))
        return task.loss(model, placed)


def _precision(train: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    if train.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)

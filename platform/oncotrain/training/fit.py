"""The one training loop: every arm, whether central, local or federated, calls `fit`."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Task
from oncotrain.training.collective import Collective, attempt, successes
from oncotrain.training.loader import Batch, batches
from oncotrain.training.state import TrainState, learning_rate, trainable

Correction = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]
"""What is added to a step's mean gradient, a tensor for each trainable parameter (all detached) and of its shape."""


@dataclass(frozen=True)
class StepLoss:
    """What one step saw, over all ranks."""

    step: int
    loss: float
    """Mean loss of the labelled items before the step; NaN where there were none."""
    count: float
    """Labelled items."""
    waited: float = field(default=0.0, compare=False)
    """Seconds that this rank waited for its batch: none where its readers keep up."""


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
    correction: Correction | None = None,
) -> tuple[TrainState, list[StepLoss]]:
    """Take `steps` gradient steps from `state`.

    A step minimizes (loss sum over all ranks) / (count over all ranks) on one global batch, so the result is a pure
    function of (state, train, rows), whatever the number of ranks, up to rounding; dropout alone is drawn per rank.
    Fitting a steps and then b steps equals fitting a + b.

    Args:
        rows: Row numbers to train on (n,) int64, n > 0.
        train: The whole run's configuration; `train.steps` is the length of the schedule, not of this call.
        correction: The gradient of what a step minimizes beside the loss, before clipping and the same on every rank;
            where a batch has no label, there is no step and nothing is added.

    Returns:
        The state after the steps (its model is `state.model`, updated in place), and one record a step.

    Raises:
        DataError: Rows are missing; on every rank, whichever rank missed them.
        UserError: The loss or the gradient is not finite.
    """
    if not len(rows):
        raise DataError(f"{dataset.uri}: no row to train on")
    numbers = range(state.step, state.step + steps)
    source = batches(numbers, task=task, plan=plan, dataset=dataset, rows=rows, train=train, collective=collective)
    state.model.train()
    with closing(source):
        history = []
        for step in numbers:
            began = time.perf_counter()
            batch = attempt(partial(next, source))
            waited = time.perf_counter() - began
            loss = _step(step, state, batch, task, train, collective, correction)
            history.append(replace(loss, waited=waited))
    return replace(state, step=state.step + steps), history


def _step(
    step: int,
    state: TrainState,
    batch: list[Batch] | UserError,
    task: Task,
    train: TrainConfig,
    collective: Collective,
    correction: Correction | None,
) -> StepLoss:
    parameters = trainable(state.model)
    state.optimizer.zero_grad()
    totals = torch.zeros(3, dtype=parameters[0].dtype, device=parameters[0].device)  # loss, count, failed ranks
    if isinstance(batch, UserError):
        totals[2] = 1
    else:
        totals[:2] = _accumulate(step, state, batch, task, train, collective)
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    _mean_over_ranks(gradients, totals, train, collective)
    total, items, failed = totals.tolist()
    if failed:
        successes(collective.gather(batch if isinstance(batch, UserError) else None))
    if not items:
        return StepLoss(step, math.nan, 0.0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    state.scaler.unscale_(state.optimizer)
    if correction is not None:
        for gradient, term in zip(gradients, correction([each.detach() for each in parameters]), strict=True):
            gradient.add_(term)
    norm = torch.nn.utils.get_total_norm(gradients)
    overflow = state.scaler.is_enabled() and state.scaler.get_scale() >= 1  # may be mended by a smaller scale
    if not (math.isfinite(total) and (overflow or torch.isfinite(norm))):
        raise UserError(
            f"step {step}: loss {total / items} or gradient norm {norm.item()} is not finite;"
            " lower train.optimizer.lr, set train.clip_norm, or look for extreme values in the data"
        )
    if train.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, train.clip_norm, norm)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, train)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return StepLoss(step, total / items, items)


def _accumulate(
    step: int, state: TrainState, pieces: Sequence[Batch], task: Task, train: TrainConfig, collective: Collective
) -> torch.Tensor:
    """Add the gradient of this rank's loss sum; the sum and the count of its rows (2,).

    Dropout is a function of (seed, step, rank) and of the pieces, hence of the world size.
    """
    parameter = trainable(state.model)[0]
    sums = torch.zeros(2, dtype=parameter.dtype, device=parameter.device)
    with torch.random.fork_rng([parameter.device] if parameter.device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence((train.seed, step, collective.rank)).generate_state(1)[0]))
        for piece in pieces:
            placed = {
                name: tensor.to(parameter.device, parameter.dtype if tensor.is_floating_point() else None)
                for name, tensor in piece.items()
            }
            with _precision(train, parameter.device):
                loss, count = task.loss(state.model, placed)
            state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch
            sums += torch.stack([loss.detach(), count]).to(sums)
    return sums


def _mean_over_ranks(
    gradients: Sequence[torch.Tensor], totals: torch.Tensor, train: TrainConfig, collective: Collective
) -> None:
    """Replace `totals` by its sum over the ranks, each gradient by its sum over the ranks divided by the items.

    In float16 the means travel: sums over many items would leave its range.
    """
    if train.compression == "none":
        collective.sum_([*gradients, totals])
        for gradient in gradients:
            gradient.div_(totals[1].clamp(min=1))
        return
    collective.sum_([totals])
    halves = [gradient.div_(totals[1].clamp(min=1)).half() for gradient in gradients]
    collective.sum_(halves)
    for gradient, half in zip(gradients, halves, strict=True):
        gradient.copy_(half)


def _precision(train: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    if train.precision not in ("bfloat16", "float16"):
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, train.precision))

"""The gradient of a step: of the mean loss over the items of all ranks."""

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Task
from oncotrain.training.collective import Collective, attempt, successes
from oncotrain.training.loader import Batch, batches
from oncotrain.training.state import TrainState, trainable


@dataclass(frozen=True)
class Gradient:
    """What a step follows, and what it saw."""

    values: list[torch.Tensor] | None
    """One of each trainable parameter's shape, multiplied by the loss scale; None: there is nothing to follow."""
    loss: float
    """Sum over the labelled items."""
    count: float
    """Labelled items."""
    waited: float
    """Seconds that this rank waited for its rows."""


def mean_gradients(
    steps: range,
    state: TrainState,
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    rows: np.ndarray,
    train: TrainConfig,
    collective: Collective,
) -> Generator[Gradient]:
    """The gradient of (loss sum over all ranks) / (count over all ranks) on the global batch of each step.

    None is made before it is asked for: each is that of the parameters as the step before left them.
    """
    source = batches(steps, task=task, plan=plan, dataset=dataset, rows=rows, train=train, collective=collective)
    with closing(source):
        for step in steps:
            began = time.perf_counter()
            batch = attempt(partial(next, source))
            waited = time.perf_counter() - began
            gradient = _mean_gradient(step, state, batch, waited, task, train, collective)
            del batch  # or it is held until the next has come: two in memory
            yield gradient


def accumulate(state: TrainState, pieces: Sequence[Batch], task: Task, train: TrainConfig, seed: int) -> torch.Tensor:
    """Add the gradient of the pieces' loss sum to the parameters' `grad`; the sum and the count of its items (2,).

    Args:
        seed: Of dropout.
    """
    parameter = trainable(state.model)[0]
    sums = torch.zeros(2, dtype=parameter.dtype, device=parameter.device)
    with torch.random.fork_rng([parameter.device] if parameter.device.type == "cuda" else []):
        torch.manual_seed(seed)
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


def _mean_gradient(
    step: int,
    state: TrainState,
    batch: list[Batch] | UserError,
    waited: float,
    task: Task,
    train: TrainConfig,
    collective: Collective,
) -> Gradient:
    """Dropout is a function of (seed, step, rank) and of the pieces, hence of the world size."""
    parameters = trainable(state.model)
    state.optimizer.zero_grad()
    totals = torch.zeros(3, dtype=parameters[0].dtype, device=parameters[0].device)  # loss, count, failed ranks
    if isinstance(batch, UserError):
        totals[2] = 1
    else:
        seed = int(np.random.SeedSequence((train.seed, step, collective.rank)).generate_state(1)[0])
        totals[:2] = accumulate(state, batch, task, train, seed)
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    gradients, totals = _mean_over_ranks(gradients, totals, train, collective)
    total, items, failed = totals.tolist()
    if failed:
        successes(collective.gather(batch if isinstance(batch, UserError) else None))
    return Gradient(gradients if items else None, total, items, waited)


def _mean_over_ranks(
    gradients: Sequence[torch.Tensor], totals: torch.Tensor, train: TrainConfig, collective: Collective
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Each gradient's sum over the ranks divided by the items, and the sum of `totals` over the ranks.

    In float16 the means travel: sums over many items would leave its range.
    """
    if train.compression == "none":
        *sums, totals = collective.summed([*gradients, totals])
        return [each.div_(totals[1].clamp(min=1)) for each in sums], totals
    (totals,) = collective.summed([totals])
    halves = [each.div_(totals[1].clamp(min=1)).half() for each in gradients]
    return [half.to(each.dtype) for each, half in zip(gradients, collective.summed(halves), strict=True)], totals


def _precision(train: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    if train.precision not in ("bfloat16", "float16"):
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, train.precision))

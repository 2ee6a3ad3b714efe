"""The one training loop: every arm, whether central, local or federated, calls `fit`."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Task
from oncotrain.training.collective import Collective
from oncotrain.training.gradient import Gradient, mean_gradients
from oncotrain.training.private import private_gradients
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
    secret: int | None = None,
) -> tuple[TrainState, list[StepLoss]]:
    """Take `steps` gradient steps from `state`.

    A step minimizes (loss sum over all ranks) / (count over all ranks) on one global batch, so the result is a pure
    function of (state, train, rows), whatever the number of ranks, up to rounding; dropout alone is drawn per rank.
    Fitting a steps and then b steps equals fitting a + b. With `train.privacy` none of this holds: each step is one of
    `private_gradients`, whose samples and noise nobody can foretell.

    Args:
        rows: Row numbers to train on (n,) int64, n > 0.
        train: The whole run's configuration; `train.steps` is the length of the schedule, not of this call.
        correction: The gradient of what a step minimizes beside the loss, before clipping and the same on every rank;
            where a batch has no label, there is no step and nothing is added.
        secret: With `train.privacy` only: what samples and noise follow from, for tests. None: the operating system's.

    Returns:
        The state after the steps (its model is `state.model`, updated in place), and one record a step.

    Raises:
        DataError: Rows are missing; on every rank, whichever rank missed them.
        UserError: The loss or the gradient is not finite; `train.privacy` on several ranks.
    """
    if not len(rows):
        raise DataError(f"{dataset.uri}: no row to train on")
    numbers = range(state.step, state.step + steps)
    if train.privacy:
        source = private_gradients(
            numbers,
            state,
            train.privacy,
            task=task,
            plan=plan,
            dataset=dataset,
            rows=rows,
            train=train,
            collective=collective,
            secret=secret,
        )
    else:
        source = mean_gradients(
            numbers,
            state,
            task=task,
            plan=plan,
            dataset=dataset,
            rows=rows,
            train=train,
            collective=collective,
        )
    state.model.train()
    with closing(source):
        history = []
        for step in numbers:
            gradient = next(source)
            _update(step, state, gradient, train, correction)
            loss = gradient.loss / gradient.count if gradient.count else math.nan
            history.append(StepLoss(step, loss, gradient.count, gradient.waited))
    return replace(state, step=state.step + steps), history


def _update(
    step: int, state: TrainState, gradient: Gradient, train: TrainConfig, correction: Correction | None
) -> None:
    """Take the step; none where there is no gradient, or where its scaled values overflow."""
    if gradient.values is None:
        return
    parameters = trainable(state.model)
    for parameter, value in zip(parameters, gradient.values, strict=True):
        parameter.grad = value
    state.scaler.unscale_(state.optimizer)
    if correction is not None:
        for value, term in zip(gradient.values, correction([each.detach() for each in parameters]), strict=True):
            value.add_(term)
    norm = torch.nn.utils.get_total_norm(gradient.values)
    overflow = state.scaler.is_enabled() and state.scaler.get_scale() >= 1  # may be mended by a smaller scale
    if not (math.isfinite(gradient.loss) and (overflow or torch.isfinite(norm))):
        raise UserError(
            f"step {step}: loss sum {gradient.loss} or gradient norm {norm.item()} is not finite;"
            " lower train.optimizer.lr, set train.clip_norm, or look for extreme values in the data"
        )
    if train.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, train.clip_norm, norm)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, train)
    state.scaler.step(state.optimizer)
    state.scaler.update()

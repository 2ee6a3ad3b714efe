"""The state of a training: parameters, optimizer, loss scale, step. Rate, batch, randomness follow from the step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.tasks import Plan, Task


@dataclass(frozen=True)
class TrainState:
    """`fit` returns a new state; the model and optimizer in it are the same objects, updated in place."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scale of the loss in float16; disabled, and without effect, in other precisions."""
    step: int


def initial_state(task: Task, plan: Plan, train: TrainConfig, device: torch.device | None = None) -> TrainState:
    """Step 0, the same on every rank and site: a pure function of (task, plan, train.seed)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        model = task.model(plan)
    model.to(device=device, dtype=torch.float64 if train.precision == "float64" else torch.float32)
    scaler = torch.amp.GradScaler(device.type if device else "cpu", enabled=train.precision == "float16")
    return TrainState(model, _optimizer(model, train), scaler, 0)


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that training changes; frozen ones and buffers follow from the plan."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def get_parameters(model: torch.nn.Module) -> list[np.ndarray]:
    """Copies of the trainable parameters, in the model's order and dtype."""
    return [parameter.detach().cpu().numpy().copy() for parameter in trainable(model)]


def set_parameters(model: torch.nn.Module, values: Sequence[np.ndarray]) -> None:
    """Overwrite the trainable parameters. Raises ValueError where number or shapes differ."""
    with torch.no_grad():
        for parameter, value in zip(trainable(model), values, strict=True):
            if parameter.shape != value.shape:
                raise ValueError(f"parameter of shape {tuple(parameter.shape)} cannot take one of shape {value.shape}")
            parameter.copy_(torch.from_numpy(np.asarray(value)))


def learning_rate(step: int, train: TrainConfig) -> float:
    """The rate of step `step` (0 is the first): linear warm-up, then constant or half a cosine down to 0.

    Cosine: Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983, without restarts.
    """
    peak = train.optimizer.lr * train.batch_size / (train.optimizer.base_batch or train.batch_size)
    warmup = round(train.schedule.warmup * train.steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if train.schedule.name == "constant":
        return peak
    progress = (step - warmup) / max(1, train.steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _optimizer(model: torch.nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """Fused: one pass over a parameter and what is kept of it, in a fifth of the time of one pass an operation."""
    config = train.optimizer
    common: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.name == "sgd":
        return torch.optim.SGD(trainable(model), momentum=config.momentum, **common)
    return torch.optim.AdamW(trainable(model), **common)

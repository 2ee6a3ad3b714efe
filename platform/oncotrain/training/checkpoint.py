"""Checkpoints: a state and the run's progress in one file, written whole then renamed.

Beside parameters, optimizer and loss scale nothing needs saving: rate, batches, augmentation and dropout are functions
of the step.
"""

import io
from dataclasses import replace
from typing import Any

import torch

from oncotrain.training.run import RunDirectory
from oncotrain.training.state import TrainState

_STEP = "step-"


def save_checkpoint(run: RunDirectory, name: str, state: TrainState, progress: dict[str, Any]) -> None:
    """Write runs/<run>/checkpoints/<name>.pt. `progress` is JSON-able and comes back from `load_checkpoint`."""
    buffer = io.BytesIO()
    torch.save(
        {
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "step": state.step,
            "progress": progress,
        },
        buffer,
    )
    run.write(buffer.getvalue(), "checkpoints", f"{name}.pt")


def load_checkpoint(run: RunDirectory, name: str, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
    """Put a checkpoint into the objects of `state`; the state there, and the progress saved with it."""
    content = io.BytesIO(run.read("checkpoints", f"{name}.pt"))
    saved = torch.load(content, map_location="cpu", weights_only=True)
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scaler.load_state_dict(saved["scaler"])
    return replace(state, step=saved["step"]), saved["progress"]


def save_step(run: RunDirectory, state: TrainState, progress: dict[str, Any], keep: int) -> None:
    """Write the checkpoint of the state's step, then remove all but the newest `keep` of such."""
    save_checkpoint(run, f"{_STEP}{state.step:09d}", state, progress)
    for name in _steps(run)[:-keep]:
        run.remove("checkpoints", f"{name}.pt")


def newest_step(run: RunDirectory) -> str | None:
    """Name of the newest checkpoint that `save_step` wrote; None before the first."""
    return _steps(run)[-1] if _steps(run) else None


def _steps(run: RunDirectory) -> list[str]:
    """Oldest first. A file that is still being written has a dot before its name."""
    return [name.removesuffix(".pt") for name in run.names("checkpoints") if name.startswith(_STEP)]

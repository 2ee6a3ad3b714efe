"""Checkpoints: a state and the run's progress in one file, written whole then renamed."""

import io
from typing import Any

import torch

from oncotrain.training.run import RunDirectory
from oncotrain.training.state import TrainState


def save_checkpoint(run: RunDirectory, name: str, state: TrainState, progress: dict[str, Any]) -> None:
    """Write runs/<run>/checkpoints/<name>.pt. `progress` is JSON-able and comes back from `load_checkpoint`."""
    buffer = io.BytesIO()
    torch.save(
        {
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "progress": progress,
        },
        buffer,
    )
    run.write(buffer.getvalue(), "checkpoints", f"{name}.pt")


def load_checkpoint(run: RunDirectory, name: str, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
    """Put a checkpoint into the model and optimizer of `state`; the state there, and the progress saved with it."""
    content = io.BytesIO(run.read("checkpoints", f"{name}.pt"))
    saved = torch.load(content, map_location="cpu", weights_only=True)
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    return TrainState(state.model, state.optimizer, saved["step"]), saved["progress"]

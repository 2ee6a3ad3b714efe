"""Small runs of the shipped tasks."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oncotrain.config.training import RunConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.training.checkpoint import newest_step
from oncotrain.training.run import RunDirectory

TASKS: dict[str, dict[str, Any]] = {
    "histology": {
        "name": "histology",
        "widths": [8, 16],
        "crop": 32,
        "decisions": {"foreground": [0.4, 0.6], "marker": [0.2]},
    },
    "drug_response": {
        "name": "drug_response",
        "clinical": ["sex", "age"],
        "network": {"members": 2, "width": 16, "input_dropout": 0.0, "dropout": 0.0},
        "shrinkage": [0.5, 1.0],
        "minimum_samples": 2,
    },
}


def run_config(task: str, **train: Any) -> RunConfig:
    """A run of a shipped task over a few uneven batches; `train` overrides its settings."""
    settings = {
        "steps": 6,
        "batch_size": 7,
        "optimizer": {"name": "adamw", "lr": 0.003},
        "clip_norm": 1.0,
        "validate_every": 4,
        "engine": "single",
        "ranks": 1,
    }
    rule = {"rule": "declared", "seed": 0, "validation": 0.25}
    return RunConfig.model_validate(
        {
            "task": TASKS[task],
            "split": {"name": f"{task}-patients".replace("_", "-"), "rule": rule},
            "train": settings | train,
        }
    )


def copy_lake(lake: Lake, path: Path) -> Lake:
    """A copy of a local lake at `path`."""
    shutil.copytree(lake.root, path)
    return Lake(f"file://{path}")


def last_parameters(lake: Lake, run: str) -> list[np.ndarray]:
    """The parameters with which a run ended."""
    directory = RunDirectory(lake, run)
    content = directory.read("checkpoints", f"{newest_step(directory)}.pt")
    return [value.numpy() for value in torch.load(io.BytesIO(content), weights_only=True)["model"].values()]

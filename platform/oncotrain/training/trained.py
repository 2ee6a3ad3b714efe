"""A finished run as what it learned: task, plan, model and decision, ready to predict."""

from dataclasses import dataclass
from typing import Any

import torch

from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import Plan, Task, create_task
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import initial_state


@dataclass(frozen=True)
class Trained:
    """The best parameters of `run`, and the post-processing chosen with them."""

    run: RunDirectory
    task: Task
    plan: Plan
    model: torch.nn.Module
    """In evaluation mode."""
    decision: dict[str, Any]


def load_trained(lake: Lake, run: str) -> Trained:
    """Raises UserError if there is no such run, DataError if it is not finished."""
    directory = RunDirectory(lake, run)
    decision, plan = directory.read_json("summary.json")["decision"], directory.read_json("plan.json")
    config = directory.read_config()
    task = create_task(config.task, f"{directory.uri}/config.yaml")
    state, _ = load_checkpoint(directory, "best", initial_state(task, plan, config.train))
    return Trained(directory, task, plan, state.model.eval(), decision)

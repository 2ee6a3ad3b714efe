"""Use cases behind the `Task` seam, found by name: `tasks/<name>/` offers `create(config, source)`."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from oncotrain.errors import UserError
from oncotrain.tasks.task import Fit, Plan, Row, Sums, Task

__all__ = ["Fit", "Plan", "Row", "Sums", "Task", "create_task"]


def create_task(config: Mapping[str, Any], source: str) -> Task:
    """The task that `config['name']` names, with the rest of `config` as its settings.

    `source` (a file's name) is quoted in errors. Raises UserError for an unknown name or setting.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    name = config.get("name")
    if name not in names:
        raise UserError(f"{source}: key 'task.name' has value {name!r}; allowed: {', '.join(names)}")
    settings = {key: value for key, value in config.items() if key != "name"}
    task: Task = importlib.import_module(f"{__name__}.{name}").create(settings, source)
    return task

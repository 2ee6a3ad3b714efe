"""What a site may say about its patients: sums over fewer than a floor of them stay, for one patient's sum is data."""

from collections.abc import Mapping, Sequence

import numpy as np

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.tasks import Sums, Task


def may_leave(patients: int, floor: int) -> bool:
    """Whether sums over this many patients are not below the floor."""
    return patients >= floor


def require_no_exact_sums(task: Task, config: RunConfig, source: str) -> None:
    """Raises UserError where a run that hides what a site sends would send the exact sums of the task's fits."""
    federated = config.federated
    hiding = {
        "train.privacy": config.train.privacy,
        "federated.site_privacy": federated and federated.site_privacy,
        "federated.secure_aggregation": federated and federated.secure_aggregation,
    }
    names = ", ".join(fit.name for fit in task.fits)
    for key, setting in hiding.items():
        if setting and names:
            raise UserError(
                f"{source}: key 'task' asks for fits ({names}) to exact sums of each site's rows, which {key} does not "
                f"hide; a run with {key} is without them"
            )


def name_candidates(candidates: Sequence[Sums]) -> dict[str, np.ndarray]:
    """Sums of several candidate decisions under one set of names, as a message carries them."""
    return {f"{number}/{name}": value for number, sums in enumerate(candidates) for name, value in sums.items()}


def told_candidates(task: Task, sums: Mapping[str, np.ndarray], enough: int) -> dict[str, np.ndarray]:
    """What of a site's named candidates may leave it (`Task.told`)."""
    return name_candidates([task.told(candidate, enough) for candidate in _candidates(task, sums)])


def merge_candidates(task: Task, parts: Sequence[Mapping[str, np.ndarray]]) -> list[Sums]:
    """Sums of each candidate decision over the sites that sent `parts`, none of them empty."""
    return [task.merge(candidate) for candidate in zip(*(_candidates(task, part) for part in parts), strict=True)]


def _candidates(task: Task, sums: Mapping[str, np.ndarray]) -> list[Sums]:
    return [_under(f"{number}/", sums) for number in range(len(task.decisions()))]


def _under(prefix: str, sums: Mapping[str, np.ndarray]) -> Sums:
    return {name.removeprefix(prefix): value for name, value in sums.items() if name.startswith(prefix)}

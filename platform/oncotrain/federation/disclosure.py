"""What a site may say about its patients: sums over fewer than a floor of them stay, for one patient's sum is data."""

from collections.abc import Mapping, Sequence

import numpy as np

from oncotrain.tasks import Sums, Task


def may_leave(patients: int, floor: int) -> bool:
    """Whether sums over this many patients are not below the floor."""
    return patients >= floor


def name_candidates(candidates: Sequence[Sums]) -> dict[str, np.ndarray]:
    """Sums of several candidate decisions under one set of names, as a message carries them."""
    return {f"{number}/{name}": value for number, sums in enumerate(candidates) for name, value in sums.items()}


def merge_candidates(task: Task, parts: Sequence[Mapping[str, np.ndarray]]) -> list[Sums]:
    """Sums of each candidate decision over the sites that sent `parts`, none of them empty."""
    prefixes = [f"{number}/" for number in range(len(task.decisions()))]
    return [task.merge([_under(prefix, part) for part in parts]) for prefix in prefixes]


def _under(prefix: str, sums: Mapping[str, np.ndarray]) -> Sums:
    return {name.removeprefix(prefix): value for name, value in sums.items() if name.startswith(prefix)}

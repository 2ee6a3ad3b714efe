"""What a run works on: the task, the dataset, the frozen split, and the plan made from training rows alone."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oncotrain.config.training import RunConfig, SplitConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.row_group_cache import DiskCache
from oncotrain.lake.split import Part, Split, load_split, make_split, save_split
from oncotrain.tasks import Fit, Plan, Row, Sums, Task, create_task

ROW_GROUPS = Path(tempfile.gettempdir()) / f"oncotrain-row-groups-{os.getuid()}"
"""Where ranks of this machine share row groups; YARN and Spark set TMPDIR to a container's own scratch space."""


@dataclass(frozen=True)
class RunData:
    """One participant's task, dataset and split."""

    task: Task
    dataset: Dataset
    split: Split

    def rows(self, part: Part) -> np.ndarray:
        """Numbers of the rows of `part` (n,) int64. Raises DataError where there are none."""
        rows = self.split.rows(self.dataset, part)
        if not len(rows):
            raise DataError(f"split {self.split.name!r} has no {part} row in {self.dataset.uri}")
        return rows


def open_data(lake: Lake, config: RunConfig, source: str, version: str | None = None) -> RunData:
    """Open what `config` names in `lake`; the split is made and frozen if its rule is given and the lake lacks it.

    Args:
        source: The configuration's file, for messages.
        version: The dataset's version; None is the newest.

    Raises:
        DataError: The split that is made would leak; nothing is frozen.
    """
    task = create_task(config.task, source)
    limit = config.train.disk_cache_gib
    disk_cache = DiskCache(ROW_GROUPS, int(limit * 2**30)) if limit else None
    dataset = open_dataset(lake, config.dataset or task.dataset, version, disk_cache=disk_cache)
    return RunData(task, dataset, _frozen_split(lake, dataset, task, config.split, source))


def local_statistics(data: RunData, contract: dict[str, Any], floor: int) -> Sums:
    """The task's statistics of this participant's training rows, under the agreed contract."""
    adapt = data.task.adapt(data.dataset.manifest.features, contract)
    rows = data.dataset.iterate(("patient", *data.task.columns), data.rows("train"))
    return data.task.statistics(contract, map(adapt, rows), floor)


def local_fit_sums(data: RunData, fit: Fit, plan: Plan, floor: int) -> Sums:
    """This participant's part of one of the task's fits; no sum over fewer than `floor` patients."""
    adapt = data.task.adapt(data.dataset.manifest.features, plan)
    rows = data.dataset.iterate(("patient", *data.task.columns), data.rows("train"))
    return fit.sums(plan, map(adapt, rows), floor)


def plan_alone(data: RunData) -> Plan:
    """The plan of a run with one participant."""
    contract = data.task.agree([data.task.contract(data.dataset.manifest.features)])
    plan = data.task.plan(contract, data.task.merge_statistics([local_statistics(data, contract, floor=1)]))
    for fit in data.task.fits:
        plan = fit.fitted(plan, [local_fit_sums(data, fit, plan, floor=1)])
    return plan


def _frozen_split(lake: Lake, dataset: Dataset, task: Task, config: SplitConfig, source: str) -> Split:
    if config.rule is not None and config.name not in lake.list("splits"):
        made = make_split(dataset, config.rule, config.name)
        _require_no_leak(dataset, task, made)
        save_split(lake, made)
    split = load_split(lake, config.name)
    if config.rule not in (None, split.rule):
        raise UserError(
            f"{source}: key 'split.rule' differs from the rule that made the frozen split {config.name!r} "
            f"({split.rule}); choose another split.name"
        )
    return split


def _require_no_leak(dataset: Dataset, task: Task, split: Split) -> None:
    """At each participant of its own rows: what leaks between sites is seen where rows are pooled."""
    if not (split.train and split.test):
        return
    contract = task.agree([task.contract(dataset.manifest.features)])
    adapt = task.adapt(dataset.manifest.features, contract)

    def read(part: Part) -> Iterator[Row]:
        return map(adapt, dataset.iterate(("patient", *task.columns), split.rows(dataset, part)))

    if found := task.leaks(contract, partial(read, "train"), partial(read, "test")):
        raise DataError(
            f"{dataset.uri}: split {split.name!r} would leak: {'; '.join(found)}. Ingest it without such genes, and "
            "with one patient id for samples of one origin"
        )

"""torch.distributed in Spark tasks, one rank a task: pyspark's TorchDistributor (barrier stage and torchrun)."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

from oncotrain.errors import UserError
from oncotrain.training.collective import Collective, attempt, flat_sum, successes
from oncotrain.training.engines.engine import RankLost

T = TypeVar("T")


class Ddp:
    """The engine of TorchDistributor: NCCL where Spark gives tasks a GPU, else Gloo."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def run(self, work: Callable[[Collective], T], ranks: int) -> list[T]:
        """Call `work` in `ranks` tasks of the Spark application."""
        use_gpu = int(self._spark.conf.get("spark.task.resource.gpu.amount", "0") or 0) > 0
        distributor = TorchDistributor(num_processes=ranks, local_mode=False, use_gpu=use_gpu)
        try:
            outcomes = distributor.run(_rank, work, "cpu:gloo,cuda:nccl" if use_gpu else "gloo")
        except Exception as error:
            # Py4JJavaError, PythonException or RuntimeError, by the place where the barrier stage noticed.
            raise RankLost(str(error)) from error
        return successes(cast(list[T | UserError], outcomes))


def _rank(work: Callable[[Collective], T], backend: str) -> list[T | UserError]:
    """All ranks' outcomes, since TorchDistributor returns rank 0's value only."""
    dist.init_process_group(backend)
    try:
        collective = _TorchCollective()
        return collective.gather(attempt(partial(work, collective)))
    finally:
        dist.destroy_process_group()


def _all_reduced(tensor: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(tensor)
    return tensor


class _TorchCollective:
    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ["LOCAL_RANK"])

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return flat_sum(tensors, _all_reduced)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)

    def gather(self, value: T) -> list[T]:
        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # every rank has filled its place

"""Horovod over Gloo in Spark tasks, one rank a task: `horovod.spark.run`, on a laptop as on YARN."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TypeVar

import torch
from pyspark.sql import SparkSession

from oncotrain.errors import UserError
from oncotrain.training.collective import Collective, attempt, flat_sum, successes
from oncotrain.training.engines.engine import RankLost
from oncotrain.training.engines.listening import listening_on
from oncotrain.training.engines.patience import ending_together

T = TypeVar("T")


class Horovod:
    """The engine of `horovod.spark.run`."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def run(self, work: Callable[[Collective], T], ranks: int) -> list[T]:
        """Call `work` in `ranks` tasks of the Spark application."""
        import horovod.spark  # importing it patches subprocess handling: only where it runs
        from horovod.spark.driver import job_id

        # One machine: loopback, or Gloo may pick an interface that does not route to itself. A cluster says which of
        # its networks ranks talk over, or leaves it to Horovod to find one that connects them all.
        local = str(self._spark.sparkContext.master).startswith("local")
        named = self._spark.conf.get("spark.oncotrain.nics", "lo" if local else "") or ""
        nics = [nic for nic in named.split(",") if nic]
        confined = listening_on(nics[0]) if len(nics) == 1 else nullcontext()
        group = f"horovod.spark.run.{job_id.JOB_ID + 1}"  # as Horovod will name it
        try:
            with confined, _own_signals(), ending_together(self._spark.sparkContext, group):
                outcomes: list[T | UserError] = horovod.spark.run(
                    _rank,
                    args=(work,),
                    num_proc=ranks,
                    use_gloo=True,
                    nics=set(nics) or None,
                    # Not the driver's own, by default: in a container, that is a path of its own.
                    executable=self._spark.sparkContext.pythonExec,
                    stdout=sys.stderr,
                    stderr=sys.stderr,
                    verbose=0,
                )
        except Exception as error:
            # Horovod knows no exception of its own for it; what the rank said is in its log.
            raise RankLost(str(error)) from error
        return successes(outcomes)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Leave SIGINT and SIGTERM to the job. Horovod's handlers end the ranks, as if one had been lost, and would stay.

    Without them it can also be run in another thread than the main one.
    """
    from horovod.runner import gloo_run

    register = gloo_run.register_shutdown_event
    gloo_run.register_shutdown_event = threading.Event
    try:
        yield
    finally:
        gloo_run.register_shutdown_event = register


def _rank(work: Callable[[Collective], T]) -> T | UserError:
    import horovod.torch as hvd

    hvd.init()
    try:
        return attempt(partial(work, _HorovodCollective()))
    finally:
        hvd.shutdown()


class _HorovodCollective:
    """Tensors on a GPU travel through host memory: the wheel is built for Gloo, which knows no device memory."""

    def __init__(self) -> None:
        import horovod.torch as hvd

        self._hvd = hvd
        self.rank, self.world, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return flat_sum(tensors, self._all_reduced)

    def _all_reduced(self, tensor: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self._hvd.allreduce_(tensor.cpu(), op=self._hvd.Sum, name="sum")
        return total.to(tensor.device)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.copy_(self._hvd.broadcast(tensor.cpu(), root_rank=0))

    def gather(self, value: T) -> list[T]:
        gathered: list[T] = self._hvd.allgather_object(value)
        return gathered

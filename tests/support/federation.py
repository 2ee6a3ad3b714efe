"""A federation without processes: Flower's grid replaced by calls of the sites' workers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from flwr.app import Error, Message
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from oncotrain.config.training import RunConfig
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.site.site import answer
from oncotrain.federation.site.trainer import Trainer
from oncotrain.federation.site.worker import Worker
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Alone, Collective
from oncotrain.training.data import open_data
from support.runs import run_config


def federated_config(task: str, federated: Mapping[str, Any] | None = None, **train: Any) -> RunConfig:
    """Two rounds of three steps; `federated` and `train` override those sections' settings."""
    settings = {"rounds": 2, "local_steps": 3, "min_patients": 1} | dict(federated or {})
    config = run_config(task, **{"precision": "float64"} | train)
    return RunConfig.model_validate(config.model_dump() | {"federated": settings})


def open_workers(
    sites: Mapping[str, Lake], config: RunConfig, credentials: Mapping[str, Credentials] | None = None
) -> dict[str, Worker]:
    """A worker for each site's lake."""
    return {
        site: open_worker(site, lake, config, credentials=(credentials or {}).get(site)) for site, lake in sites.items()
    }


def open_worker(site: str, lake: Lake, config: RunConfig, collective: Collective | None = None, **keys: Any) -> Worker:
    """A worker whose trainer is in this process."""
    data = open_data(lake, config, "test.yaml")
    trainer = Trainer(data, lake, config, "test.yaml", collective or Alone())
    return Worker(site, lake, config, "test.yaml", data, trainer.answer, **keys)


def trainer_of(worker: Worker) -> Trainer:
    """The trainer in this process of a worker that `open_worker` made."""
    return worker._ask_trainer.__self__


class LoopbackGrid(Grid):
    """Delivers each message to the worker of its node at once.

    What Flower's grid has beyond pushing and pulling is abstract there and called by nothing here: it says so if it is.
    """

    def __init__(self, workers: Mapping[int, Worker]) -> None:
        self.workers = dict(workers)
        self.replies: dict[str, Message] = {}
        self.sent: list[Message] = []

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *_arguments: Any, **_named: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.workers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"message-{len(self.sent)}"
            self.sent.append(message)
            identifiers.append(message.metadata.message_id)
            node = message.metadata.dst_node_id
            if node in self.workers:
                self.replies[identifiers[-1]] = self._reply(message, self.workers[node])
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(identifier) for identifier in message_ids if identifier in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise NotImplementedError

    def _reply(self, message: Message, worker: Worker) -> Message:
        reply = answer(worker, deepcopy(message.content), message.metadata.message_type.rpartition(".")[2])
        content = Error(int(reply), reply.name) if isinstance(reply, Refusal) else reply
        return Message(content, reply_to=message)


@contextmanager
def loopback(workers: Mapping[str, Worker], deadline: float = 60.0) -> Iterator[Sites]:
    """The sites of these workers, in this process."""
    # Messages carry the identity of the process that Flower started for the app; here there is none.
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    yield Sites(LoopbackGrid(dict(enumerate(workers.values(), start=1))), dict(enumerate(workers, start=1)), deadline)

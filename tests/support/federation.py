"""A federation without processes: Flower's grid replaced by calls of the sites' client apps."""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from oncotrain.config.training import RunConfig
from oncotrain.federation.channel import Channel, answer_one, open_channel
from oncotrain.federation.client_app import forward
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.sites import Sites
from oncotrain.federation.worker import Worker
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Alone
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
        site: Worker(site, lake, config, "test.yaml", Alone(), (credentials or {}).get(site))
        for site, lake in sites.items()
    }


class LoopbackGrid(Grid):
    """Delivers each message to the client app of its node at once, as a SuperNode would."""

    def __init__(self, channels: Mapping[int, Channel]) -> None:
        self.channels = dict(channels)
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
        return list(self.channels)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"message-{len(self.sent)}"
            self.sent.append(message)
            identifiers.append(message.metadata.message_id)
            node = message.metadata.dst_node_id
            if node in self.channels:
                self.replies[identifiers[-1]] = forward(message, context_of(self.channels[node]))
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(identifier) for identifier in message_ids if identifier in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise NotImplementedError


def context_of(channel: Channel) -> Context:
    """What a client app is told by its SuperNode."""
    config = {"site": "", "socket": str(channel.socket), "key": str(channel.key)}
    return Context(run_id=1, node_id=1, node_config=config, state=RecordDict(), run_config={})


@contextmanager
def loopback(workers: Mapping[str, Worker], deadline: float = 60.0) -> Iterator[Sites]:
    """The sites of these workers, each behind its own socket and thread."""
    # Messages carry the identity of the process that Flower started for the app; here there is none.
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    with ExitStack() as stack:
        channels: dict[int, Channel] = {}
        for number, worker in enumerate(workers.values(), start=1):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worker-")))
            channels[number], listener = open_channel(folder)
            stack.enter_context(listener)
            threading.Thread(target=_serve, args=(listener, worker), daemon=True).start()
        yield Sites(LoopbackGrid(channels), dict(enumerate(workers, start=1)), deadline)


def _serve(listener: Any, worker: Worker) -> None:
    while not worker.finished:
        answer_one(listener, worker.answer)

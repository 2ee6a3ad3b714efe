"""A site as one of Flower's nodes: takes each message itself, and runs no code that it is sent.

It speaks Flower's Fleet protocol (flwr 1.41) through Flower's own client, in the site's one long-lived process; a
SuperNode would start a process for each message, with code from the coordinator.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    pull_and_inflate_object_from_tree,
    push_object_contents_from_iterable,
)
from flwr.supernode.fleet_http_client import FleetHttpClient

from oncotrain.federation.identity.private_file import write_private
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.log import get_logger

POLL_SECONDS = 0.5
"""Between two looks for a message."""

Answer = Callable[[RecordDict, str], RecordDict | Refusal]
"""What a site replies to a message's content and kind, such as ``train``."""


@dataclass(frozen=True)
class Node:
    """A connection on which messages come and replies go."""

    client: FleetHttpClient
    proto: NodeProto
    apps: frozenset[str]
    """SHA-256 of the Flower apps (FAB) that may send messages here."""
    taken: Path | None = None
    """File with the message that is being answered, to refuse it if this process does not."""
    _runs: dict[int, str] = field(default_factory=dict)
    """Hash of each run's app."""

    def serve(self, answer: Answer, finished: Callable[[], bool]) -> int:
        """Answer messages until `finished`; how many there were. A message of an app that is not allowed is refused."""
        self._refuse_taken()
        answered = 0
        while not finished():
            if self._answer_one(answer):
                answered += 1
            else:
                time.sleep(POLL_SECONDS)
        return answered

    def _answer_one(self, answer: Answer) -> bool:
        pulled = self.client.PullMessages(PullMessagesRequest(node=self.proto))
        if not pulled.messages_list:
            return False
        kind = pulled.messages_list[0].metadata.message_type.rpartition(".")[2]
        if self.taken is not None:
            write_private(self.taken, pulled.messages_list[0].SerializeToString())
        with _log_if_dropped(kind):
            message = self._receive(pulled)
            began = time.monotonic()
            reply = answer(message.content, kind) if self._allowed(message.metadata.run_id) else Refusal.APP
            content = Error(int(reply), reply.name) if isinstance(reply, Refusal) else reply
            self._send(Message(content, reply_to=message), time.monotonic() - began)
        if self.taken is not None:
            self.taken.unlink(missing_ok=True)  # gone where another client has taken this place
        return True

    def _refuse_taken(self) -> None:
        """Refuse what a client before this one took along when it was killed: Flower hands out each message once."""
        if self.taken is None or not self.taken.exists():
            return
        message = message_from_proto(MessageProto.FromString(self.taken.read_bytes()))
        self.taken.unlink()
        with suppress(ObjectPushError, httpx.HTTPStatusError):  # nobody waits for it; what comes next says why
            self._send(Message(Error(int(Refusal.RESTARTED), Refusal.RESTARTED.name), reply_to=message), 0.0)

    def _receive(self, pulled: PullMessagesResponse) -> Message:
        run, tree = pulled.messages_list[0].metadata.run_id, pulled.message_object_trees[0]
        message = pull_and_inflate_object_from_tree(
            tree,
            make_pull_object_fn_protobuf(self.client.PullObject, self.proto, run),
            make_confirm_message_received_fn_protobuf(self.client.ConfirmMessageReceived, self.proto, run),
            return_type=Message,
        )
        message.metadata.__dict__["_message_id"] = tree.object_id  # as Flower's own client does
        return message

    def _send(self, reply: Message, seconds: float) -> None:
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
            bare = remove_content_from_message(reply) if reply.has_content() else reply
            pushed = self.client.PushMessages(
                PushMessagesRequest(
                    node=self.proto,
                    messages_list=[message_to_proto(bare)],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[seconds],
                )
            )
            push = make_push_object_fn_protobuf(
                self.client.PushObject, self.proto, reply.metadata.run_id, pushed.session_id
            )
            wanted = set(pushed.objects_to_push)
            parts = wanted - {tree.object_id}
            push_object_contents_from_iterable(((name, objects[name].deflate()) for name in parts), push)
            for root in wanted - parts:  # last: by it the coordinator knows that all are there
                push(root, objects[root].deflate())

    def _allowed(self, run: int) -> bool:
        if run not in self._runs:
            self._runs[run] = self.client.GetRun(GetRunRequest(node=self.proto, run_id=run)).run.fab_hash
        if self._runs[run] not in self.apps:
            get_logger(stage="federate").error("an app that this site does not allow: %s", self._runs[run])
        return self._runs[run] in self.apps


@contextmanager
def _log_if_dropped(kind: str) -> Iterator[None]:
    """Go on with the next message where Flower drops this one: a run that has ended, or a part that never came.

    It deletes what is not sent on for three minutes, by a coordinator that was killed or over a link that is cut, and
    tells the other side.
    """
    log = get_logger(stage="federate")
    try:
        yield
    except (ObjectPullError, ObjectPushError):
        log.warning("%s is not answered: a part of it, or of the answer, did not come for three minutes", kind)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.FORBIDDEN:
            raise
        log.warning("%s is not answered: its run is over", kind)

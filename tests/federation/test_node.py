"""A site's connection goes on where Flower drops a message, refuses what it left, and ends where it is refused itself.

The server is played here: a real one drops a message after three minutes; tests/federation/test_faults_processes.py has
one whose coordinator is killed in the middle of a message.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesResponse
from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse, PullObjectResponse, PushObjectResponse
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.run_pb2 import GetRunResponse, Run
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from oncotrain.federation.wire.node import Answer, Node
from oncotrain.federation.wire.refusal import Refusal

APP = "a" * 64


def refused(status: int) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        request = httpx.Request("POST", "https://coordinator/")
        raise httpx.HTTPStatusError("", request=request, response=httpx.Response(status, request=request))

    return answer


class Server:
    """Hands out the same message twice, then none; `answers` replaces what it says to a request the first time."""

    def __init__(self, **answers: Callable[[Any], Any]) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1  # as in the coordinator's process
        message = Message(RecordDict(), 7, "train")
        message.metadata.__dict__["_message_id"] = message.object_id
        self.objects = {name: each.deflate() for name, each in get_all_nested_objects(message).items()}
        self.message = PullMessagesResponse(
            messages_list=[message_to_proto(message)], message_object_trees=[get_object_tree(message)]
        )
        self.waiting, self.stored, self.replies = 2, 0, []
        self.first = answers
        self.usual = {
            "PullMessages": self.hand_out,
            "PullObject": self.give,
            "ConfirmMessageReceived": lambda _: ConfirmMessageReceivedResponse(),
            "GetRun": lambda _: GetRunResponse(run=Run(fab_hash=APP)),
            "PushMessages": self.want,
            "PushObject": self.store,
        }

    def __getattr__(self, request: str) -> Callable[[Any], Any]:
        return self.first.pop(request, None) or self.usual[request]

    def hand_out(self, _: Any) -> PullMessagesResponse:
        self.waiting -= 1
        return self.message if self.waiting >= 0 else PullMessagesResponse()

    def give(self, request: Any) -> PullObjectResponse:
        content = self.objects[request.object_id]
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def want(self, request: Any) -> PushMessagesResponse:
        self.replies.append(request.messages_list[0])
        return PushMessagesResponse(objects_to_push=[request.message_object_trees[0].object_id], session_id="1")

    def store(self, _: Any) -> PushObjectResponse:
        self.stored += 1
        return PushObjectResponse(stored=True)


class Killed(BaseException):
    """What nobody catches."""


def serve(server: Server, taken: Path | None = None, answer: Answer = lambda *_: RecordDict()) -> int:
    node = Node(server, NodeProto(node_id=7), frozenset([APP]), taken)  # type: ignore[arg-type]
    return node.serve(answer, lambda: server.waiting < 0)


def test_every_message_is_answered():
    server = Server()
    assert serve(server) == 2
    assert server.stored == 2


@pytest.mark.parametrize(
    ("request_name", "answer"),
    [
        ("PullObject", lambda _: PullObjectResponse(object_found=False)),
        ("PullObject", refused(403)),
        ("GetRun", refused(403)),
        ("PushMessages", refused(403)),
        ("PushObject", lambda _: PushObjectResponse(stored=False)),
    ],
)
def test_a_dropped_message_is_gone_and_the_next_is_answered(request_name, answer):
    server = Server(**{request_name: answer})
    serve(server)
    assert server.stored == 1


@pytest.mark.parametrize(
    ("request_name", "status"), [("PullMessages", 403), ("PullObject", 401), ("PushMessages", 500)]
)
def test_what_is_said_to_the_site_itself_ends_it(request_name, status):
    server = Server(**{request_name: refused(status)})
    with pytest.raises(httpx.HTTPStatusError):
        serve(server)


def test_what_a_killed_client_took_along_is_refused_by_the_next(tmp_path):
    def die(*_: Any) -> RecordDict:
        raise Killed

    taken, server = tmp_path / "taken", Server()
    with pytest.raises(Killed):
        serve(server, taken, die)
    assert taken.stat().st_mode & 0o777 == 0o600
    assert serve(server, taken) == 1
    assert [reply.error.code for reply in server.replies] == [Refusal.RESTARTED, 0]
    assert server.replies[0].metadata.reply_to_message_id == server.message.messages_list[0].metadata.message_id
    assert not taken.exists()


@pytest.mark.parametrize("status", [403, 404])
def test_the_next_client_serves_where_nobody_waits_for_a_refusal(status, tmp_path):
    taken = tmp_path / "taken"
    taken.write_bytes(Server().message.messages_list[0].SerializeToString())
    assert serve(Server(PushMessages=refused(status)), taken) == 2

"""Answers of the sites as they come: one that is still on its way holds up no other."""

from collections.abc import Iterable
from typing import cast

from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import metadata_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.superlink.grid.http_grid import HttpGrid


class PromptGrid(HttpGrid):
    """Flower's grid (flwr 1.41), but for `pull_messages`, which waits for nobody.

    Flower's own waits for the rest of an answer once it is announced: three minutes for that of a site that was killed,
    in which it asks for no other, and does not see who went and came back. Here a site sends the root of its answer
    last, and an answer is fetched once that is there.
    """

    def __init__(self, grid: HttpGrid) -> None:
        self.__dict__.update(grid.__dict__)  # the connection that Flower opened for the app
        self._announced: dict[str, tuple[MessageProto, ObjectTree]] = {}

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Those answers to `message_ids` that are there, and an error for each that will never be whole."""
        message_ids = set(message_ids)
        if fresh := message_ids - self._announced.keys():  # Flower announces an answer once, then knows nothing of it
            pulled = self._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=fresh))
            for reply, tree in zip(pulled.messages_list, pulled.message_object_trees, strict=True):
                self._announced[reply.metadata.reply_to_message_id] = (reply, tree)
        whole = []
        for identifier in message_ids & self._announced.keys():
            message = self._fetch(*self._announced[identifier])
            if message is not None:
                del self._announced[identifier]
                whole.append(message)
        return whole

    def _fetch(self, reply: MessageProto, tree: ObjectTree) -> Message | None:
        """The answer, or an error in its place where its site is gone; None while it is on its way."""
        client, node, run = self._runtime_client, self.node, reply.metadata.run_id
        pull = make_pull_object_fn_protobuf(client.PullObject, node, run)
        try:
            pull(tree.object_id)
            parts = [part.object_id for part in iterate_object_tree(tree)]
            contents = pull_objects(parts, pull, max_tries_per_object=1)
        except ObjectUnavailableError:
            return None if reply.metadata.src_node_id in self.get_node_ids() else _lost(reply)
        except ObjectPullError:
            return _lost(reply)
        client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=node, run_id=run, message_object_id=tree.object_id)
        )
        message = cast(Message, inflate_object_from_contents(tree.object_id, contents))
        message.metadata.__dict__["_message_id"] = tree.object_id  # as Flower's own grid does
        return message


def _lost(reply: MessageProto) -> Message:
    error = Error(ErrorCode.REPLY_MESSAGE_UNAVAILABLE, "its site was gone before all of it was sent")
    return make_message(metadata_from_proto(reply.metadata), error=error)

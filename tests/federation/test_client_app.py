"""What a site's client app costs and what it lets out."""

import subprocess
import sys
import threading
from multiprocessing import AuthenticationError

import pytest
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from oncotrain.federation.channel import Channel, answer_one, ask, open_channel
from oncotrain.federation.client_app import forward
from oncotrain.federation.parcel import Parcel, to_records
from oncotrain.federation.private_file import write_private
from oncotrain.federation.refusal import Refusal
from support.federation import context_of


@pytest.fixture
def message() -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    return Message(to_records(Parcel()), 1, "query.contract")


def test_it_imports_neither_torch_nor_spark():
    code = "import sys, oncotrain.federation.client_app; print([m for m in ('torch', 'pyspark') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_missing_worker_is_a_code(message, tmp_path):
    reply = forward(message, context_of(Channel(tmp_path / "nobody.sock", tmp_path / "nobody.key")))
    assert reply.error.code == Refusal.WORKER_GONE
    assert reply.error.reason == "WORKER_GONE"
    assert str(tmp_path) not in str(reply)


@pytest.mark.timeout(30)
def test_a_worker_answers_only_who_knows_its_key(tmp_path):
    tmp_path.chmod(0o700)
    channel, listener = open_channel(tmp_path)
    assert channel.key.stat().st_mode & 0o777 == 0o600
    asked = []

    def echo(request: bytes) -> bytes:
        asked.append(request)
        return request

    def serve() -> None:
        for _ in range(2):
            answer_one(listener, echo)

    server = threading.Thread(target=serve)
    server.start()
    stranger = Channel(channel.socket, tmp_path / "guessed.key")
    write_private(stranger.key, b"guess")
    with pytest.raises(AuthenticationError):
        ask(stranger, b"1")
    assert ask(channel, b"2") == b"2"
    server.join()
    listener.close()
    assert asked == [b"2"]

"""HDFS without one: hdfs-native's inner objects are stood in for, or nobody answers."""

import io
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.errors import LostConnectionError
from oncotrain.lake import hdfs
from oncotrain.lake.hdfs import ArrowReader, Watched


class Packets(io.BytesIO):
    """`content` as HDFS gives it: in packets of at most `size` bytes, of which `lost` never come."""

    def __init__(self, content: bytes, size: int = 7, lost: int = 0) -> None:
        super().__init__(content)
        self.content, self.size, self.lost = content, size, lost

    def file_length(self) -> int:
        return len(self.content)

    def read_range_stream(self, offset: int, length: int) -> list[bytes]:
        part = self.content[offset : offset + length - self.lost]
        return [part[at : at + self.size] for at in range(0, len(part), self.size)]


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 80), st.integers(1, 9))
def test_a_buffer_is_what_read_would_give(content: bytes, start: int, size: int, packet: int) -> None:
    file, plain = ArrowReader(Packets(content, packet)), io.BytesIO(content)
    for each in (file, plain):
        each.seek(min(start, len(content)))
    assert file.read_buffer(size).to_pybytes() == plain.read(size)
    assert file.tell() == plain.tell()


def test_arrow_takes_the_buffer() -> None:
    file = ArrowReader(Packets(b"0123456789" * 4))
    file.read = None  # what would be asked otherwise
    with pa.PythonFile(file, mode="r") as arrow:
        arrow.seek(8)
        assert arrow.read_buffer(12).to_pybytes() == b"890123456789"


def test_a_buffer_that_stays_short_is_an_error() -> None:
    with pytest.raises(LostConnectionError, match="9 bytes came of 12"):
        ArrowReader(Packets(b"0123456789" * 4, lost=3)).read_buffer(12)


class Taken:
    """An inner writer that takes `room` bytes, and then never comes back."""

    def __init__(self, room: int) -> None:
        self.room, self.content, self.closed = room, b"", 0

    def write(self, data: memoryview) -> int:
        if len(self.content) + len(data) > self.room:
            Event().wait()
        self.content += data
        return len(data)

    def close(self) -> None:
        self.closed += 1
        if self.closed > 1:
            raise OSError("completed already")


@given(st.binary(max_size=60), st.integers(1, 9))
def test_all_is_written_piece_by_piece(content: bytes, piece: int) -> None:
    inner = Taken(60)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hdfs, "_PIECE", piece)
        file = Watched(inner)
        assert file.write(memoryview(content)) == len(content)
    for _ in range(2):  # as `with` does, and the end of the object
        file.close()
    assert (inner.content, inner.closed) == (content, 1)


def test_a_write_that_never_comes_back_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdfs, "_TAKING_PATIENCE", 0.2)
    inner = Taken(0)
    file, began = Watched(inner), time.monotonic()
    with pytest.raises(LostConnectionError, match=r"no DataNode took anything for 0.2 s"):
        file.write(b"bytes")
    assert time.monotonic() - began < 10
    file.close()
    assert not inner.closed  # it would wait as well


def test_what_a_write_fails_with_is_raised() -> None:
    inner = io.BytesIO()
    inner.close()
    with pytest.raises(ValueError, match="closed file"):
        Watched(inner).write(b"bytes")


@pytest.fixture
def patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt more, where hdfs-native by itself makes so many that they take three minutes."""
    attempts = "<property><name>dfs.client.failover.max.attempts</name><value>1</value></property>"
    (tmp_path / "hdfs-site.xml").write_text(f"<configuration>{attempts}</configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))


def hang_up(server: socket.socket) -> None:
    """What a NameNode that wants tickets does to who brings none."""
    with suppress(OSError):  # the server is closed, which ends this
        while True:
            server.accept()[0].close()


def refusal(address: str, *call: str | Path) -> str:
    """What is said of a lake at `address`, in less time than the three minutes and without a traceback."""
    uri = f"hdfs://{address}/lakes/uz-leuven"
    done = subprocess.run([sys.executable, *call, uri], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "HADOOP_CONF_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


PROGRAM = Path(sys.executable).with_name("oncotrain")


@pytest.mark.usefixtures("patience")
def test_a_command_names_the_namenode_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=hang_up, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = refusal(address, PROGRAM, "layout", "check", "--lake")
    assert f"HDFS does not answer at hdfs://{address}/ (" in said
    assert "trying on" not in said


@pytest.mark.usefixtures("patience")
def test_a_job_names_the_namenode_that_is_not_there_before_it_waits_and_after() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    job = Path(__file__).parents[2] / "jobs" / "pool.py"
    before, _, after = refusal(address, job, "--dataset", "tiles", "--from", "file:///nowhere", "--to").partition(
        "trying on for three minutes"
    )
    for said in (before, after):
        assert f"HDFS does not answer at hdfs://{address}/ (" in said


@pytest.mark.parametrize("address", ["namenode.invalid:9000", "no-such-nameservice"])
def test_an_address_that_nobody_knows_is_not_waited_for(address: str) -> None:
    said = refusal(address, PROGRAM, "layout", "check", "--lake")
    assert f"hdfs://{address}/" in said
    assert "trying on" not in said

"""Files of a lake elsewhere, on this machine's disk: once for all tasks, and no more of them than needed."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from oncotrain.errors import DataError
from oncotrain.lake import received
from oncotrain.lake.received import local_copies


class Elsewhere(MemoryFileSystem):
    """A filesystem that counts what is fetched from it."""

    cachable = False
    fetched: list[str]

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        self.fetched.append(rpath)
        super().get_file(rpath, lpath, **options)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    fs = Elsewhere()
    fs.fetched = []
    fs.store.clear()
    for name in "abcdef":
        fs.pipe_file(f"/inbox/{name}.svs", name.encode() * 1000)
    monkeypatch.setattr(received, "_place", lambda path: (fs, path.removeprefix("there:/")))
    monkeypatch.setenv("LOCAL_DIRS", f"{tmp_path},/nowhere")
    yield fs
    fs.store.clear()


def fetch(name: str) -> bytes:
    with local_copies({"slide": f"there://inbox/{name}.svs"}) as copies:
        return copies["slide"].read_bytes()


def test_many_tasks_fetch_a_file_once(elsewhere: Elsewhere) -> None:
    found: list[bytes] = []
    tasks = [threading.Thread(target=lambda: found.append(fetch("a"))) for _ in range(8)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert found == [b"a" * 1000] * 8
    assert elsewhere.fetched == ["/inbox/a.svs"]
    elsewhere.pipe_file("/inbox/a.svs", b"new")
    assert fetch("a") == b"new"


def test_what_is_being_read_stays_and_the_rest_makes_room(elsewhere: Elsewhere, tmp_path: Path) -> None:
    with ExitStack() as stack:
        held = stack.enter_context(local_copies({"slide": "there://inbox/a.svs"}))["slide"]
        for name in "bcdef":
            assert fetch(name) == name.encode() * 1000
        assert held.read_bytes() == b"a" * 1000
        copies = [path.name for path in tmp_path.rglob("*.svs")]
        assert "a.svs" in copies
        assert len(copies) <= 2 + received._KEPT
    assert len(elsewhere.fetched) == 6


@pytest.mark.usefixtures("elsewhere")
def test_a_file_that_is_gone_is_a_reason() -> None:
    with pytest.raises(DataError, match="or is gone"):
        fetch("nothing")

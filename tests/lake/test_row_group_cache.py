"""The memory cache among threads: one load a key, different keys at once. The disk cache: whose folder it takes."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from oncotrain.errors import UserError
from oncotrain.lake.row_group_cache import DiskCache, MemoryCache


def table(size: int) -> pa.Table:
    return pa.table({"bytes": pa.array([b"x" * size])})


def test_different_row_groups_load_at_the_same_time() -> None:
    cache, both = MemoryCache(1 << 20), threading.Barrier(2, timeout=20)

    def load() -> pa.Table:
        both.wait()
        return table(10)

    with ThreadPoolExecutor(2) as executor:
        assert len(list(executor.map(lambda key: cache.get((key,), load), range(2)))) == 2


def test_one_row_group_is_loaded_once_for_all_who_wait() -> None:
    cache, loads, begun, goes_on = MemoryCache(1 << 20), [], threading.Event(), threading.Event()

    def load() -> pa.Table:
        loads.append(1)
        begun.set()
        assert goes_on.wait(20)
        return table(10)

    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(cache.get, (0,), load)
        assert begun.wait(20)
        second = executor.submit(cache.get, (0,), load)
        goes_on.set()
        assert first.result() is second.result()
    assert loads == [1]


def test_a_failed_load_is_tried_again() -> None:
    def fail() -> pa.Table:
        raise OSError("gone")

    cache = MemoryCache(1 << 20)
    with pytest.raises(OSError, match="gone"):
        cache.get((0,), fail)
    assert cache.get((0,), lambda: table(3)).num_rows == 1


def test_the_least_recently_used_go_first() -> None:
    size = table(1000).nbytes
    cache, loads = MemoryCache(2 * size), []

    def get(key: int) -> None:
        cache.get((key,), lambda: loads.append(key) or table(1000))

    for key in (0, 1, 0, 2, 0, 1):
        get(key)
    assert loads == [0, 1, 2, 1]


def open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def of_another_account(folder: Path) -> None:
    if os.getuid():
        pytest.skip("only root may give a folder to another account")
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def a_link(folder: Path) -> None:
    folder.with_name("elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize("plant", [open_to_others, of_another_account, a_link])
def test_a_folder_that_others_may_have_filled_is_refused(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "cache")
    with pytest.raises(UserError, match="must be a folder of this account's own, mode 0700"):
        DiskCache(tmp_path / "cache", 1 << 20)

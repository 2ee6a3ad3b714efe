"""Encoded row groups near their reader: in memory, and on the machine's own disk where the lake is far away."""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock

import diskcache
import pyarrow as pa

from oncotrain.errors import UserError


class MemoryCache:
    """Least recently used row groups, up to `limit` bytes; threads load different ones at the same time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._tables: OrderedDict[tuple[int | str, ...], Future[pa.Table]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[int | str, ...], load: Callable[[], pa.Table]) -> pa.Table:
        """The table of that key, loaded where it is not held; whoever asks meanwhile waits for it."""
        with self._lock:
            held = self._tables.get(key)
            if held is None:
                loading = self._tables[key] = Future()
            else:
                self._tables.move_to_end(key)
        if held is not None:
            return held.result()
        try:
            table = load()
        except BaseException as error:
            with self._lock:
                del self._tables[key]
            loading.set_exception(error)
            raise
        loading.set_result(table)
        self._keep(table)
        return table

    def _keep(self, table: pa.Table) -> None:
        """Count a loaded table, and drop the oldest ones that are loaded while they are too many."""
        with self._lock:
            self._bytes += table.nbytes
            for key in [key for key, held in self._tables.items() if held.done()]:
                if self._bytes <= self.limit:
                    break
                self._bytes -= self._tables.pop(key).result().nbytes


class DiskCache:
    """Row groups in `folder` of this machine, shared by its processes, up to about `limit` bytes.

    Keys begin with the SHA-256 of the file that a row group is from, so nothing in it can be out of date. The folder,
    mode 0700, may be deleted at any time between two runs. Pickles as its address.

    Raises UserError for a folder that another account owns or may enter: diskcache unpickles what it finds.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise UserError(
                f"{folder}: must be a folder of this account's own, mode 0700; remove it, or set TMPDIR elsewhere"
            )
        # Everything as a file of its own: diskcache counts those, not its index, against the limit.
        self._cache = diskcache.Cache(
            str(folder), size_limit=limit, eviction_policy="least-recently-used", disk_min_file_size=0
        )

    def __reduce__(self) -> tuple[type["DiskCache"], tuple[Path, int]]:
        return DiskCache, (self.folder, self.limit)

    @property
    def volume(self) -> int:
        """Bytes on the disk."""
        return int(self._cache.volume())

    def get(self, key: str, load: Callable[[], pa.Table]) -> pa.Table:
        """The table of that key, loaded where it is not held."""
        stored = self._cache.get(key)
        if stored is not None:
            return pa.ipc.open_stream(stored).read_all()
        table = load()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self._cache.set(key, sink.getvalue().to_pybytes())
        return table

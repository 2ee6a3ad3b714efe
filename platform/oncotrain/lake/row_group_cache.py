"""Encoded row groups near their reader: in memory, and on the machine's own disk where the lake is far away."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import diskcache
import pyarrow as pa


class MemoryCache:
    """Least recently used row groups, up to `limit` bytes; safe for threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._tables: OrderedDict[tuple[int | str, ...], pa.Table] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[int | str, ...], load: Callable[[], pa.Table]) -> pa.Table:
        """The table of that key, loaded where it is not held."""
        with self._lock:
            if key not in self._tables:
                self._tables[key] = load()
                self._bytes += self._tables[key].nbytes
            self._tables.move_to_end(key)
            table = self._tables[key]
            while self._bytes > self.limit:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
            return table


class DiskCache:
    """Row groups in `folder` of this machine, shared by its processes, up to about `limit` bytes.

    Keys begin with the SHA-256 of the file that a row group is from, so nothing in it can be out of date. The folder,
    mode 0700, may be deleted at any time between two runs. Pickles as its address.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
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

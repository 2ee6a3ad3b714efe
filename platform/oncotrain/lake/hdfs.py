"""HDFS behind fsspec (hdfs-native: neither Java nor Spark), with errors as Python knows them.

hdfs-native hands most of the NameNode's refusals on as a RuntimeError that holds a Java stack trace. It waits by itself
for a NameNode that is away, some three minutes, and reads from another DataNode where one is gone; the time that the
NameNode then spends in safe mode is waited for here.
"""

import errno
import gc
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
from hdfs_native import AclEntry, FileReader
from hdfs_native.fsspec import HdfsFileSystem

from oncotrain.errors import LostConnectionError, UserError
from oncotrain.log import get_logger


class SafeModeError(LostConnectionError):
    """The NameNode has been started again and does not know all blocks yet: nothing was done."""


_REMOTE = re.compile(r'RPCError\("(?:[\w$]+\.)*([\w$]+)", "(.*?)(?:\\n|"\))', re.DOTALL)
"""Class and first line of what the NameNode threw."""
_KERBEROS = re.compile(r'GSSAPIError\(.*, "(.*)"\)', re.DOTALL)
"""What MIT's library says, such as that there is no ticket, or that it has expired."""
_SAFE_MODE = ("SafeModeException", "RetriableException")
_SAFE_MODE_PATIENCE = 180
"""Seconds; as long as hdfs-native waits for a NameNode that does not answer."""
_TAKING_PATIENCE = 70
"""Seconds; hdfs-native itself gives a DataNode up that has acknowledged nothing for 60."""
_PIECE = 4 << 20
"""Bytes that a DataNode is given so much time for."""
_UNANSWERED = ("Connection refused", "RPC listener disconnected", "Connection reset", "Broken pipe")
"""What hdfs-native says of a NameNode that is not there, or hangs up: as one does that wants a ticket."""
_FULL = ("DSQuotaExceededException", "NSQuotaExceededException")


class Hdfs(HdfsFileSystem):
    """One HDFS, by the address of its NameNode, or by a nameservice that HADOOP_CONF_DIR knows."""

    def __init__(self, host: str | None = None, port: int | None = None) -> None:
        try:
            super().__init__(host, port)
        except RuntimeError as error:
            remedy = "write hdfs://host:port/path, or let HADOOP_CONF_DIR name the configuration that knows it"
            raise UserError(f"HDFS at {self.unstrip_protocol('/')} is unknown ({error}): {remedy}") from None
        where = self.unstrip_protocol("/")
        if host is not None and port is not None:
            _look_for(host, port, where)
        self.client.inner = _Translated(self.client.inner, where)  # type: ignore[assignment]

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        opened = super()._open(path, mode, *arguments, **options)
        if mode == "rb":
            return ArrowReader(opened.inner)
        opened.inner = Watched(opened.inner)
        return opened

    def named_acl(self, path: str) -> list[str]:
        """The entries of `path` beyond owner, group and others, as `user:NAME:r-x`, sorted."""
        entries = self.client.get_acl_status(path).entries
        return sorted(f"{entry.type}:{entry.name}:{entry.permissions}" for entry in entries if entry.name)

    def set_named_acl(self, path: str, mode: int, acl: list[str]) -> None:
        """Give `path` the permission bits `mode` and, beyond these, exactly the entries `acl`."""
        self.client.remove_acl(path)
        self.client.set_permission(path, mode)
        if acl:
            entries: list[list[Any]] = [entry.split(":") for entry in acl]
            named = [AclEntry(kind, "access", bits, name) for kind, name, bits in entries]
            self.client.modify_acl_entries(path, named)


def _look_for(host: str, port: int, where: str) -> None:
    """Say that no NameNode answers before hdfs-native is silent about it; raise where no such host is known at all."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            raise _unanswered(where, f"{error.strerror}") from None
        get_logger().warning("HDFS does not answer at %s (%s); trying on for three minutes", where, error)


@cache
def known_host(host: str, port: int | None, tokens: str | None) -> str:
    """The name or address under which a YARN container's tokens, a file, know the NameNode at `host`:`port`.

    Java writes the address into them unless `hadoop.security.token.service.use_ip` is false; hdfs-native looks for
    what the URI says, and finding no token would ask for a ticket, which containers do not have.
    """
    if tokens is None or port is None or f"{host}:{port}".encode() in Path(tokens).read_bytes():
        return host
    return socket.gethostbyname(host)


class ArrowReader(FileReader):
    """A file to read, for Arrow without the copies of `read`: a row group is read straight into Arrow's memory."""

    def read_buffer(self, size: int) -> pa.Buffer:
        """What Arrow calls in place of `read`, where there is one."""
        start = self.tell()
        buffer = pa.allocate_buffer(max(0, min(size, len(self) - start)))
        view, filled = memoryview(buffer).cast("B"), 0
        for packet in self.read_range_stream(start, len(view)):
            view[filled : filled + len(packet)] = packet
            filled += len(packet)
        if filled != len(view):
            raise LostConnectionError(errno.EIO, f"{filled} bytes came of {len(view)}")
        self.seek(start + filled)
        return buffer


class Watched:
    """The inner object of a file to write, which is lost where hdfs-native would wait for ever.

    Its write waits for room in a queue of packets. If the DataNode dies just when there is some, the writer is given
    the room, finds the queue closed, and gives the room back; whoever empties the queue is not told, and waits for it.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._over = False

    def write(self, data: Any) -> int:
        """Write all of `data`, a buffer of bytes. Raises LostConnectionError as well where no DataNode takes them."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._watched(self._inner.write, view[start : start + _PIECE])
        return len(view)

    def close(self) -> None:
        """Complete the file; nothing where that was tried, or a write was lost."""
        if not self._over:
            self._over = True
            self._watched(self._inner.close)

    def _watched(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Make a call in a thread, which is left to itself if the call does not come back."""
        outcome = Future[None]()

        def run() -> None:
            try:
                call(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised below
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        Thread(target=run, daemon=True).start()
        if not wait([outcome], _TAKING_PATIENCE).done:
            self._over = True
            raise LostConnectionError(errno.ETIMEDOUT, f"no DataNode took anything for {_TAKING_PATIENCE} s")
        outcome.result()


class _Translated:
    """One of hdfs-native's inner objects; what its methods return is wrapped too, since files fail later."""

    def __init__(self, inner: Any, where: str) -> None:
        self._inner = inner
        self._where = where

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        # A file that is being written is not taken up where it failed: it is written again, see write_atomic.
        patience = 0 if type(self._inner).__name__ == "RawFileWriter" else _SAFE_MODE_PATIENCE
        return _translating(value, patience, self._where) if callable(value) else value


def _translating(method: Callable[..., Any], patience: float, where: str) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        deadline = time.monotonic() + patience
        while True:
            try:
                value = method(*args, **options)
                break
            except (RuntimeError, OSError) as error:
                named = _named(error, where)
                if not isinstance(named, SafeModeError) or time.monotonic() > deadline:
                    raise named from None
            time.sleep(0.5)
        if isinstance(value, Iterator):
            return _iterate(value, where)
        return _Translated(value, where) if type(value).__name__ in ("RawFileReader", "RawFileWriter") else value

    return call


def _iterate(values: Iterator[Any], where: str) -> Iterator[Any]:
    """Listings are fetched as they are read, and fail then."""
    try:
        yield from values
    except (RuntimeError, OSError) as error:
        raise _named(error, where) from None


def _named(error: Exception, where: str) -> Exception:
    """PermissionError or another OSError; a UserError where no input is to be blamed: no ticket, a quota used up."""
    first_line = str(error).partition("\n")[0]
    if isinstance(error, FileNotFoundError | FileExistsError):
        return type(error)(first_line)
    kerberos = _KERBEROS.search(str(error))
    if kerberos is not None:
        return UserError(
            f"HDFS asks for a Kerberos ticket: {kerberos[1]}; type: kinit, or let KRB5_CLIENT_KTNAME name a keytab"
        )
    remote = _REMOTE.search(str(error))
    if remote is None and first_line.startswith(_UNANSWERED):
        return _unanswered(where, first_line)
    if remote is None:
        return LostConnectionError(errno.EIO, first_line)
    name, message = remote[1], remote[2].replace('\\"', '"')
    if name in _FULL:
        return UserError(f"HDFS is full: {message}; make room there, or ask its administrator for a larger quota")
    if name in _SAFE_MODE:
        return SafeModeError(errno.EAGAIN, message)
    return OSError(errno.EACCES if name == "AccessControlException" else errno.EIO, message)


def _unanswered(where: str, reason: str) -> LostConnectionError:
    """It may be the NameNode or, once files are read or written, a DataNode."""
    remedy = (
        "start its daemons, correct the address or, if it asks for Kerberos, let HADOOP_CONF_DIR name its configuration"
    )
    return LostConnectionError(errno.ECONNREFUSED, f"HDFS does not answer at {where} ({reason}): {remedy}")


def _let_go() -> None:
    """End all clients that can: in a forked child, one that goes would wait for its threads, which are not there.

    fsspec empties its caches in the child (Horovod and Spark fork). Errors that were raised held clients in cycles,
    which a collection in the child would find.
    """
    Hdfs.clear_instance_cache()
    gc.collect()


os.register_at_fork(before=_let_go)

"""Lakes on a local disk (`file://`) and in HDFS (`hdfs://`) behind fsspec.

Beside fsspec's own verbs a lake needs four that the two kinds of storage spell differently: rename without nesting
or overwriting, replace a file atomically, hold a lock, and read or set who may enter.
"""

import errno
import fcntl
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import chown
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from oncotrain.errors import LostConnectionError, UserError
from oncotrain.lake.hdfs import Hdfs, known_host

_LEASE_PATIENCE = 120
"""Seconds to wait for a lock in HDFS: twice the NameNode's soft limit, after which a dead holder's lease is free."""
_WRITE_PATIENCE = 180
"""Seconds. A NameNode that avoids stale DataNodes does so after 30 (`dfs.namenode.avoid.write.stale.datanode`); that a
write does not come back is known after 70, and may happen twice."""


class Access(NamedTuple):
    """Who may enter a path: account, group, and permission bits such as 0o700."""

    owner: str
    group: str
    mode: int


def open_filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem that `uri` names and the absolute path inside it.

    Raises UserError for a scheme other than file:// and hdfs://, a relative path, or HDFS without a NameNode.
    """
    parts = urlsplit(uri)
    path = parts.path.rstrip("/")
    if parts.scheme not in ("file", "hdfs"):
        raise UserError(
            f"lake {uri!r}: scheme {parts.scheme!r} is unknown; allowed: file:///path, hdfs://host:port/path"
        )
    if parts.scheme == "file" and parts.netloc:
        raise UserError(f"lake {uri!r}: the path is relative; write file:///absolute/path")
    if parts.scheme == "hdfs" and not parts.netloc:
        raise UserError(f"lake {uri!r}: the NameNode is missing; write hdfs://host:port/path")
    if not path:
        raise UserError(f"lake {uri!r}: the path is missing")
    try:
        port = parts.port
    except ValueError:
        raise UserError(f"lake {uri!r}: the port is no number; write hdfs://host:port/path") from None
    if parts.scheme == "file":
        return LocalFileSystem(), path
    # In a container of YARN, Spark acts as the account that submitted; so does hdfs-native, where nothing else says so.
    if "SPARK_USER" in os.environ:
        os.environ.setdefault("HADOOP_USER_NAME", os.environ["SPARK_USER"])
    host = known_host(parts.hostname or "", port, os.environ.get("HADOOP_TOKEN_FILE_LOCATION"))
    return Hdfs(host=host, port=port), path


@dataclass(frozen=True)
class Lake:
    """A lake by its root URI. Cheap to make and to send to another process; the filesystem is opened where used."""

    uri: str

    def __post_init__(self) -> None:
        open_filesystem(self.uri)
        object.__setattr__(self, "uri", self.uri.rstrip("/"))

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The filesystem (fsspec keeps one instance per process and thread)."""
        return open_filesystem(self.uri)[0]

    @property
    def root(self) -> str:
        """The lake's path inside its filesystem."""
        return open_filesystem(self.uri)[1]

    def path(self, *parts: str) -> str:
        """A path inside the filesystem."""
        return "/".join((self.root, *parts))

    def child_uri(self, *parts: str) -> str:
        """A path as URI, for Spark and Petastorm."""
        return "/".join((self.uri, *parts))

    def exists(self, *parts: str) -> bool:
        return bool(self.fs.exists(self.path(*parts)))

    def list(self, *parts: str) -> list[str]:
        """Sorted names inside a directory; none where it does not exist."""
        if not self.exists(*parts):
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in self.fs.ls(self.path(*parts), detail=False))

    def read_bytes(self, *parts: str) -> bytes:
        with self.fs.open(self.path(*parts), "rb") as file:
            return bytes(file.read())

    def read_text(self, *parts: str) -> str:
        return self.read_bytes(*parts).decode()

    def write_atomic(self, data: bytes | memoryview, *parts: str) -> None:
        """Write a whole file, replacing one of that name: a reader sees the old bytes or the new ones."""
        write_atomic(self.fs, self.path(*parts), data)


def write_atomic(fs: fsspec.AbstractFileSystem, path: str, data: bytes | memoryview) -> None:
    """Write `data` beside `path`, then rename over it; makes the parent directory.

    In HDFS, a write that loses its DataNodes is begun again, until the NameNode knows which of them are gone.
    """
    deadline = time.monotonic() + _WRITE_PATIENCE
    while True:
        try:
            return _write_atomic(fs, path, data)
        except LostConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


def _write_atomic(fs: fsspec.AbstractFileSystem, path: str, data: bytes | memoryview) -> None:
    parent, name = path.rsplit("/", 1)
    fs.makedirs(parent, exist_ok=True)
    partial = f"{parent}/.{name}.{uuid.uuid4().hex}"
    try:
        with fs.open(partial, "wb") as file:
            file.write(data)
        if isinstance(fs, LocalFileSystem):
            Path(partial).replace(path)
        else:
            fs.mv(partial, path, overwrite=True)
    except BaseException:
        if fs.exists(partial):
            fs.rm_file(partial)
        raise


def rename_new(fs: fsspec.AbstractFileSystem, source: str, target: str) -> None:
    """Rename the directory `source`, which is not empty, to `target`.

    Never moves into or over what is there, as a shell's `mv` would: raises FileExistsError if `target` exists.
    """
    if isinstance(fs, LocalFileSystem):
        try:
            os.rename(source, target)  # noqa: PTH104 (the semantics of rename(2) are the point)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError(target) from None
            raise
    else:
        fs.mv(source, target, overwrite=False)


@contextmanager
def exclusive(fs: fsspec.AbstractFileSystem, path: str) -> Iterator[None]:
    """Hold the lock file `path` alone: flock on a disk, the NameNode's lease in HDFS (it outlives a crash by a minute).

    Raises UserError if another process holds a lease for more than two minutes.
    """
    if isinstance(fs, LocalFileSystem):
        with Path(path).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        with suppress(FileExistsError):
            fs.open(path, "wb", overwrite=False).close()
        with _lease(fs, path):
            yield


@contextmanager
def claimed(fs: fsspec.AbstractFileSystem, path: str) -> Iterator[None]:
    """Hold the new file `path`, which tells others that this process lives (`is_claimed`); it is removed on leaving."""
    if isinstance(fs, LocalFileSystem):
        unseen = Path(path).with_name(f".{Path(path).name}")
        with unseen.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            unseen.rename(path)
            try:
                yield
            finally:
                Path(path).unlink()
    else:
        file = fs.open(path, "wb", overwrite=False)
        try:
            with file:
                yield
        finally:
            fs.rm_file(path)


def is_claimed(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Whether a process holds `path` by `claimed`; in HDFS, one that died does so for another minute."""
    try:
        if isinstance(fs, LocalFileSystem):
            with Path(path).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            fs.open(path, "ab").close()
    except (BlockingIOError, FileExistsError, PermissionError):
        return True
    except FileNotFoundError:
        return False
    return False


def _lease(fs: fsspec.AbstractFileSystem, path: str) -> BinaryIO:
    """`path` opened to append, which the NameNode grants to one client at a time."""
    deadline = time.monotonic() + _LEASE_PATIENCE
    while time.monotonic() < deadline:
        try:
            file: BinaryIO = fs.open(path, "ab")
            return file
        except FileExistsError:  # what hdfs-native raises for another's lease
            time.sleep(0.2)
    raise UserError(f"{path}: another process holds this lock; wait for it to end and run the same command again")


def get_access(fs: fsspec.AbstractFileSystem, path: str) -> Access:
    """Owner, group and mode of `path`."""
    if isinstance(fs, LocalFileSystem):
        file = Path(path)
        return Access(file.owner(), file.group(), stat.S_IMODE(file.stat().st_mode))
    info: dict[str, Any] = fs.info(path)
    return Access(info["owner"], info["group"], info["permission"])


def set_access(fs: fsspec.AbstractFileSystem, path: str, mode: int, owner: str | None, group: str | None) -> None:
    """Set the mode and, where named, owner and group (which takes the superuser)."""
    if isinstance(fs, LocalFileSystem):
        Path(path).chmod(mode)
        if owner:
            chown(path, user=owner)
        if group:
            chown(path, group=group)
    else:
        fs.client.set_permission(path, mode)
        if owner or group:
            fs.client.set_owner(path, owner, group)

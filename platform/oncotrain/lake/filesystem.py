"""Lakes on a local disk (`file://`) and in HDFS (`hdfs://`, by hdfs-native: neither Java nor Spark) behind fsspec.

Beside fsspec's own verbs a lake needs four that the two kinds of storage spell differently: rename without nesting
or overwriting, replace a file atomically, append under exclusion, and read or set who may enter.
"""

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import chown
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem
from hdfs_native.fsspec import HdfsFileSystem

from oncotrain.errors import UserError


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
    if parts.scheme == "file":
        return LocalFileSystem(), path
    return HdfsFileSystem(host=parts.hostname, port=parts.port), path


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

    def write_atomic(self, data: bytes, *parts: str) -> None:
        """Write a whole file, replacing one of that name: a reader sees the old bytes or the new ones."""
        write_atomic(self.fs, self.path(*parts), data)


def write_atomic(fs: fsspec.AbstractFileSystem, path: str, data: bytes | memoryview) -> None:
    """Write `data` beside `path`, then rename over it; makes the parent directory."""
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
def appending(fs: fsspec.AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
    """`path` opened to append, by one writer at a time: flock on a disk, the NameNode's lease in HDFS."""
    if not fs.exists(path):
        fs.touch(path, truncate=False)
    with fs.open(path, "ab") as file:
        if isinstance(fs, LocalFileSystem):
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield file


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

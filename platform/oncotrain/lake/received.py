"""Files as a hospital delivers them, by local path or URI: opened where they lie, or copied for what needs a disk."""

import fcntl
import hashlib
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pyspark import SparkFiles

from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import open_filesystem

_KEPT = 2
"""Copies that stay though no task reads them just now."""


def open_received(path: str) -> BinaryIO:
    """A stream over a local path or a URI. Raises UserError if there is no such file."""
    fs, inner = _place(path)
    try:
        stream: BinaryIO = fs.open(inner, "rb")
        return stream
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or 'no such file'})") from None


def folder_of(path: str) -> str:
    """The folder of a file, absolute, as a local path or a URI."""
    return path.rsplit("/", 1)[0] if "://" in path else str(Path(path).parent.resolve())


def find_received(folder: str, name: str) -> str:
    """The file `name` in `folder`, a result of `folder_of`; links are followed.

    Raises DataError, in words that name nobody, if it lies elsewhere, does not exist or may not be read.
    """
    fs, root = _place(folder)
    path = posixpath.normpath(posixpath.join(root, name))
    if isinstance(fs, LocalFileSystem):
        path = str(Path(path).resolve())
    if not path.startswith(f"{root}/"):
        raise DataError("leaves the manifest's folder")
    if not fs.isfile(path):
        raise DataError("does not exist")
    if isinstance(fs, LocalFileSystem):
        if not os.access(path, os.R_OK):
            raise DataError("may not be read by this account")
        return path
    return f"{folder}{path.removeprefix(root)}"


@contextmanager
def local_copies(files: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """The same files on a local disk: local ones as they are, others copied, once for all tasks of an executor.

    Copies lie in a folder that goes with the application, YARN's or Spark's; those that no task reads make room for
    others, but for the newest few. A MIRAX slide, `NAME.mrxs`, brings the folder NAME beside it. Raises DataError if a
    file cannot be read.
    """
    with ExitStack() as stack:
        try:
            copies = {key: stack.enter_context(_on_disk(path)) for key, path in files.items()}
        except (PermissionError, FileNotFoundError):
            raise DataError("may not be read by this account, or is gone") from None
        yield copies


@contextmanager
def _on_disk(path: str) -> Iterator[Path]:
    fs, inner = _place(path)
    if isinstance(fs, LocalFileSystem):
        yield Path(inner)
        return
    info = fs.info(inner)
    identity = f"{path}\0{info['size']}\0{fs.modified(inner)}"
    scratch = _scratch()
    entry = scratch / hashlib.sha256(identity.encode()).hexdigest()[:32]
    with entry.with_suffix(".lock").open("ab") as lock:
        while True:  # between the two locks another task may make room
            fcntl.flock(lock, fcntl.LOCK_SH)
            if entry.exists():
                break
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not entry.exists():
                _make_room(scratch, entry)
                _copy(fs, inner, entry)
        os.utime(lock.name)
        yield entry / posixpath.basename(inner)


def _copy(fs: fsspec.AbstractFileSystem, inner: str, entry: Path) -> None:
    partial = entry.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    target = partial / posixpath.basename(inner)
    fs.get_file(inner, str(target))
    companion, ending = posixpath.splitext(inner)
    if ending.lower() == ".mrxs":
        fs.get(companion, str(target.with_suffix("")), recursive=True)
    partial.rename(entry)


def _make_room(scratch: Path, entry: Path) -> None:
    """Remove copies that nobody reads, but for the `_KEPT` that were read last."""
    locks = sorted(scratch.glob("*.lock"), key=lambda lock: lock.stat().st_mtime, reverse=True)
    there = [lock for lock in locks if lock.with_suffix("").exists() and lock.with_suffix("") != entry]
    for path in there[_KEPT:]:
        with path.open("ab") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _scratch() -> Path:
    """A folder for the copies, mode 0700, that is removed with the application."""
    if "LOCAL_DIRS" in os.environ:
        base = os.environ["LOCAL_DIRS"].split(",")[0]
    elif SparkFiles._is_running_on_worker:
        base = SparkFiles.getRootDirectory()
    else:
        base = tempfile.gettempdir()
    folder = Path(base) / f"received-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise UserError(f"{folder}: must be a folder of this account's own, mode 0700")
    return folder


def _place(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    return open_filesystem(path) if "://" in path else (LocalFileSystem(), path)

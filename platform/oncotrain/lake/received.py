"""Files as a hospital delivers them, by local path or URI: opened where they lie, or copied for what needs a disk."""

import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import open_filesystem


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
    """The same files on a local disk: local ones as they are, others copied and deleted on leaving.

    Copies lie in YARN's folder of the application where there is one: nothing stays on a node if a task is killed. A
    MIRAX slide, `NAME.mrxs`, brings the folder NAME beside it. Raises DataError if a file cannot be read.
    """
    scratch = os.environ.get("LOCAL_DIRS", "").split(",")[0] or None
    with tempfile.TemporaryDirectory(prefix="received-", dir=scratch) as folder:
        try:
            copies = {key: _on_disk(path, Path(folder) / key) for key, path in files.items()}
        except (PermissionError, FileNotFoundError):
            raise DataError("may not be read by this account, or is gone") from None
        yield copies


def _on_disk(path: str, folder: Path) -> Path:
    fs, inner = _place(path)
    if isinstance(fs, LocalFileSystem):
        return Path(inner)
    folder.mkdir()
    target = folder / posixpath.basename(inner)
    fs.get_file(inner, str(target))
    companion, ending = posixpath.splitext(inner)
    if ending.lower() == ".mrxs":
        fs.get(companion, str(target.with_suffix("")), recursive=True)
    return target


def _place(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    return open_filesystem(path) if "://" in path else (LocalFileSystem(), path)

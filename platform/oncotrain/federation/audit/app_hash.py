"""Which code ran: one hash over the installed package."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable


def app_sha256() -> str:
    """SHA-256 over path and content of every file of the package `oncotrain`, compiled ones left out.

    Equal for equal sources, whether they are installed, a checkout, or the zip of `oncotrain dist`.
    """
    digest = hashlib.sha256()
    for path, file in sorted(_files(files("oncotrain"), ""), key=lambda found: found[0]):
        content = file.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry

"""How child processes find the code that this process runs."""

import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import oncotrain


def unpacked_code() -> list[str]:
    """What PYTHONPATH needs: nothing where the code is installed; a copy where YARN brought it as a zip.

    Flower reads the source of its app as a file, and finds none inside a zip. The copy goes with this process.
    """
    root = Path(oncotrain.__file__).parents[1]
    return [] if root.is_dir() else [_unpacked(root).name]


@cache
def _unpacked(archive: Path) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="oncotrain-")
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder.name)
    return folder

"""Where child processes find the code that this process runs."""

import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import oncotrain


def package_path() -> str:
    """The folder for PYTHONPATH; where YARN brought the code as a zip, a copy of it, for as long as this process runs.

    Flower reads the source of its app as a file, and finds none inside a zip.
    """
    root = Path(oncotrain.__file__).parents[1]
    return str(root) if root.is_dir() else _unpacked(root).name


@cache
def _unpacked(archive: Path) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="oncotrain-")
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder.name)
    return folder

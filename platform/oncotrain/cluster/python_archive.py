"""This virtual environment as one archive, for nodes that have Python itself and none of its packages."""

import sys
import sysconfig
import tarfile
from collections.abc import Collection
from pathlib import Path

from oncotrain.errors import UserError


def write_python(target: Path, without: Collection[str] = ()) -> Path:
    """Write the environment to the `.tar.gz` `target`, and return the interpreter that every node has to have.

    An environment runs wherever it is unpacked, but its `bin/python` is a link to the Python that it was made with.
    This package itself is left out: it travels with a submission (`--py-files`).

    Args:
        target: The file to write, outside the environment.
        without: Names in `site-packages` to leave out. Raises UserError where there is none of such a name.
    """
    packages = Path(sysconfig.get_path("purelib"))
    unknown = sorted(name for name in without if not (packages / name).exists())
    if unknown:
        raise UserError(f"--without {unknown[0]}: there is no such file or folder in {packages}")
    folder = packages.relative_to(sys.prefix)

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = Path(entry.name)
        if path.parent == folder and (path.name in without or path.name.startswith("__editable__")):
            return None
        return entry

    target.parent.mkdir(parents=True, exist_ok=True)
    # Level 1: what is large is machine code, and higher ones take minutes for a few per cent.
    partial = target.with_name(f".{target.name}.partial")
    with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
        archive.add(sys.prefix, ".", filter=wanted)
    partial.replace(target)
    return Path(sys.executable).resolve()

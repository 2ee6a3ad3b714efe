"""Build the patched Petastorm and Horovod wheels, once per recipe, into a cache that the next checkout uses as well.

    python deploy/wheels/build.py petastorm
    python deploy/wheels/build.py horovod

prints the path of the wheel. Run it with the Python that the wheel is for. The cache is
`${ONCOTRAIN_CACHE:-~/.cache/oncotrain}/wheels/<name>-<key>/`; the key is a hash of the recipe's files and of the
versions that the wheel depends on: for Horovod torch, Python and the platform, for Petastorm none.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import horovod_wheel
import petastorm_wheel
from source_edits import EditError

HERE = Path(__file__).resolve().parent
RECIPES = {"petastorm": petastorm_wheel, "horovod": horovod_wheel}


def cache_root() -> Path:
    return Path(os.environ.get("ONCOTRAIN_CACHE") or "~/.cache/oncotrain").expanduser() / "wheels"


def cache_key(folder: Path, files: Iterable[str], versions: Iterable[str]) -> str:
    """20 hex digits of the files' contents, and the versions."""
    digest = hashlib.sha256("\0".join(versions).encode())
    for name in sorted(files):
        digest.update(f"\0{name}\0".encode() + (folder / name).read_bytes())
    return digest.hexdigest()[:20]


def cached(shelf: Path, build: Callable[[Path], Path]) -> Path:
    """The one wheel in the folder `shelf`, which is made by `build`, given an empty folder, unless it is there.

    It appears whole or not at all. Two processes at once are safe: the first rename wins.
    """
    if not shelf.is_dir():
        shelf.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{shelf.name}-", dir=shelf.parent) as work:
            wheel = build(Path(work))
            ready = Path(work) / "ready"
            ready.mkdir()
            wheel.rename(ready / wheel.name)
            try:
                ready.rename(shelf)
            except OSError:
                if not shelf.is_dir():
                    raise
    (wheel,) = shelf.glob("*.whl")
    return wheel


def main() -> int:
    parser = argparse.ArgumentParser(description="Build a patched wheel, or find it in the cache, and print its path.")
    parser.add_argument("name", choices=sorted(RECIPES))
    name = parser.parse_args().name
    recipe = RECIPES[name]
    try:
        key = cache_key(HERE, recipe.FILES, recipe.versions())
        print(cached(cache_root() / f"{name}-{key}", recipe.build))
    except (EditError, horovod_wheel.BuildError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

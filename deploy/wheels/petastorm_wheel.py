"""The Petastorm wheel: the released wheel with edits and two modules of our own."""

import shutil
import zipfile
from pathlib import Path

import petastorm_edits as recipe
from release import download
from source_edits import apply_edits
from wheel_archive import pack_wheel

HERE = Path(__file__).resolve().parent
FILES = ("source_edits.py", "wheel_archive.py", "petastorm_edits.py", "petastorm_wheel.py", *recipe.ADDED)


def versions() -> tuple[str, ...]:
    """What the wheel depends on besides its recipe: nothing, it is pure Python."""
    return ()


def build(work: Path) -> Path:
    """Build the wheel in the empty folder `work`. Raises EditError if the release is not the expected one."""
    (work / "download").mkdir()
    release = download(recipe.NAME, recipe.RELEASE, recipe.SHA256, work / "download", "--only-binary=:all:")
    tree = work / "tree"
    with zipfile.ZipFile(release) as archive:
        archive.extractall(tree)
    for package in recipe.DROPPED:
        shutil.rmtree(tree / package)
    apply_edits(tree, recipe.EDITS)
    for source, target in recipe.ADDED.items():
        shutil.copyfile(HERE / source, tree / target)
    dist_info = f"{recipe.NAME}-{recipe.VERSION}.dist-info"
    (tree / recipe.DIST_INFO).rename(tree / dist_info)
    wheel = work / f"{recipe.NAME}-{recipe.VERSION}-py3-none-any.whl"
    pack_wheel(tree, dist_info, wheel)
    return wheel

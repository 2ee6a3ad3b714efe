"""Build the patched Petastorm and Horovod wheels, once per recipe, into a cache that the next checkout uses as well.

    python deploy/wheels/build.py petastorm
    python deploy/wheels/build.py horovod

prints the path of the wheel. Run it with the Python the wheel is for. The cache is
``${ONCOTRAIN_CACHE:-~/.cache/oncotrain}/wheels/<key>/``; the key is a hash of the recipe's files and, for Horovod, of
the versions of torch and Python and the platform.
"""

import argparse
import base64
import csv
import hashlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

import horovod_edits
import petastorm_edits
from source_edits import EditError, apply_edits

HERE = Path(__file__).resolve().parent
COMMON = ("build.py", "source_edits.py")
ZIP_TIME = (2020, 1, 1, 0, 0, 0)  # the same recipe gives the same bytes


def cache_root() -> Path:
    return Path(os.environ.get("ONCOTRAIN_CACHE") or "~/.cache/oncotrain").expanduser() / "wheels"


def cache_key(files: tuple[str, ...], *versions: str) -> str:
    """20 hex digits of what the wheel depends on."""
    digest = hashlib.sha256("\0".join(versions).encode())
    for name in sorted(files):
        digest.update(f"\0{name}\0".encode() + (HERE / name).read_bytes())
    return digest.hexdigest()[:20]


def download(name: str, version: str, sha256: str, target: Path, *options: str) -> Path:
    """Fetch the release through pip, which refuses a file of another hash."""
    requirement = target / "requirement.txt"
    requirement.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *options]
    subprocess.run([*command, "--dest", str(target), "--requirement", str(requirement)], check=True, stdout=sys.stderr)
    requirement.unlink()
    (release,) = target.iterdir()
    return release


def pack_wheel(tree: Path, dist_info: str, wheel: Path) -> None:
    """Zip `tree` as a wheel, with a RECORD written anew."""
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content, zipfile.ZIP_DEFLATED)

        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            name, content = path.relative_to(tree).as_posix(), path.read_bytes()
            if name == f"{dist_info}/RECORD":
                continue
            add(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.writerow((name, f"sha256={digest}", len(content)))
        rows.writerow((f"{dist_info}/RECORD", "", ""))
        add(f"{dist_info}/RECORD", record.getvalue().encode())


def build_petastorm(work: Path) -> Path:
    recipe = petastorm_edits
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


def build_horovod(work: Path) -> Path:
    recipe = horovod_edits
    (work / "download").mkdir()
    options = ("--no-binary=:all:", "--no-build-isolation")
    release = download(recipe.NAME, recipe.RELEASE, recipe.SHA256, work / "download", *options)
    with tarfile.open(release) as archive:
        archive.extractall(work, filter="data")
    source = work / f"{recipe.NAME}-{recipe.RELEASE}"
    apply_edits(source, recipe.EDITS)
    jobs = os.environ.get("MAKEFLAGS", f"-j{os.cpu_count() or 1}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # cmake of the environment
    environment = {**os.environ, **recipe.BUILD_ENVIRONMENT, "MAKEFLAGS": jobs, "PATH": path}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work)]
    log = work / "build.log"
    print(f"building Horovod against torch: 3 to 10 minutes, once (log: {log})", file=sys.stderr)
    with log.open("w") as output:
        build = subprocess.run([*command, str(source)], env=environment, stdout=output, stderr=subprocess.STDOUT)
    if build.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise EditError(
            f"{tail}\n\nHorovod did not build. It needs g++ 11 or newer, make and cmake below 4 (apt-get install "
            "g++ make; cmake comes with deploy/requirements.lock). With little memory, type: MAKEFLAGS=-j1 make setup"
        )
    (wheel,) = work.glob("*.whl")
    return wheel


def build(name: str) -> Path:
    """The wheel of `name`, from the cache, or built into it. Two at once are safe: the first rename wins."""
    if name == "petastorm":
        files = (*COMMON, "petastorm_edits.py", *petastorm_edits.ADDED)
        key, builder = cache_key(files), build_petastorm
    else:
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        versions = (importlib.metadata.version("torch"), python, sysconfig.get_platform())
        key, builder = cache_key((*COMMON, "horovod_edits.py"), *versions), build_horovod
    shelf = cache_root() / f"{name}-{key}"
    if not shelf.is_dir():
        shelf.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=shelf.parent) as work:
            wheel = builder(Path(work))
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
    parser.add_argument("name", choices=("petastorm", "horovod"))
    try:
        print(build(parser.parse_args().name))
    except (EditError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

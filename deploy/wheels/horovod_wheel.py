"""The Horovod wheel: the released source with edits, compiled against the torch that is installed."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import horovod_edits as recipe
from release import download
from source_edits import apply_edits

FILES = ("source_edits.py", "horovod_edits.py", "horovod_wheel.py")


class BuildError(RuntimeError):
    """The compiler gave up, or made what does not load; the message ends in what to do."""


def versions() -> tuple[str, ...]:
    """What the wheel depends on besides its recipe: torch's headers and libraries, Python's, and the platform."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return importlib.metadata.version("torch"), python, sysconfig.get_platform()


def build(work: Path) -> Path:
    """Build the wheel in the empty folder `work`: 3 to 10 minutes. Raises EditError, BuildError."""
    (work / "download").mkdir()
    options = ("--no-binary=:all:", "--no-build-isolation")
    release = download(recipe.NAME, recipe.RELEASE, recipe.SHA256, work / "download", *options)
    with tarfile.open(release) as archive:
        archive.extractall(work, filter="data")
    source = work / f"{recipe.NAME}-{recipe.RELEASE}"
    apply_edits(source, recipe.EDITS)
    # `make setup` hands its own MAKEFLAGS down: they are not meant for this build.
    flags = f"-j{os.environ.get('ONCOTRAIN_BUILD_JOBS') or os.cpu_count() or 1}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # cmake of the environment
    environment = {**os.environ, **recipe.BUILD_ENVIRONMENT, "MAKEFLAGS": flags, "PATH": path}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work)]
    log = work / "build.log"
    print(f"building Horovod against torch: 3 to 10 minutes, once (log: {log})", file=sys.stderr)
    with log.open("w") as output:
        build = subprocess.run([*command, str(source)], env=environment, stdout=output, stderr=subprocess.STDOUT)
    if build.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise BuildError(
            f"{tail}\n\nHorovod did not build. It needs g++ 11 or newer and make (apt-get install g++ make; cmake "
            "comes with deploy/requirements.lock). Where memory is short, type: ONCOTRAIN_BUILD_JOBS=1 make setup"
        )
    (wheel,) = work.glob("*.whl")
    require_loads(wheel, work / "unpacked")
    return wheel


def require_loads(wheel: Path, folder: Path) -> None:
    """Load what was built, unpacked in `folder`: no step before notices a missing symbol. Raises BuildError."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-c", "import horovod.torch"]
    imported = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if imported.returncode:
        raise BuildError(
            f"{imported.stderr}\nHorovod was built, but does not load. Is torch the one of deploy/requirements.lock? "
            "Type: make setup"
        )

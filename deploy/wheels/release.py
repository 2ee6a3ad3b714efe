"""Releases, fetched through pip and pinned by their sha256."""

import subprocess
import sys
from pathlib import Path


def download(name: str, version: str, sha256: str, target: Path, *options: str) -> Path:
    """Fetch the release into the empty folder `target` through pip, which refuses a file of another hash."""
    requirement = target / "requirement.txt"
    requirement.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *options]
    subprocess.run([*command, "--dest", str(target), "--requirement", str(requirement)], check=True, stdout=sys.stderr)
    requirement.unlink()
    (release,) = target.iterdir()
    return release

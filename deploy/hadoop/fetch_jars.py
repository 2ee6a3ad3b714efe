"""Fetch Hadoop's jars through Maven into ``${ONCOTRAIN_CACHE:-~/.cache/oncotrain}/hadoop/<hash of pom.xml>/``.

Prints that directory. Only the cluster suites need it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

POM = Path(__file__).resolve().parent / "pom.xml"


def jar_directory() -> Path:
    cache = Path(os.environ.get("ONCOTRAIN_CACHE") or "~/.cache/oncotrain").expanduser()
    return cache / "hadoop" / hashlib.sha256(POM.read_bytes()).hexdigest()[:20]


def fetch(target: Path) -> None:
    """Fill `target` in one step. Raises CalledProcessError if Maven fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jars-", dir=target.parent) as work:
        # Maven writes beside the pom: give it a copy, so that the checkout stays as it is.
        shutil.copy(POM, work)
        jars = Path(work) / "jars"
        command = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        subprocess.run(command, cwd=work, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        jars.rename(target)


def main() -> int:
    target = jar_directory()
    if not target.is_dir():
        if not shutil.which("mvn"):
            print("Hadoop's jars need Maven (Debian: maven); then type: make hadoop-jars", file=sys.stderr)
            return 1
        try:
            fetch(target)
        except subprocess.CalledProcessError as error:
            print(f"Maven failed ({error.returncode}); to try again, type: make hadoop-jars", file=sys.stderr)
            return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())

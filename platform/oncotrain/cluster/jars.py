"""Hadoop's jars, fetched once by Maven into the cache, keyed by the `pom.xml` that pins them."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from oncotrain.errors import UserError

HADOOP = Path(__file__).parents[3] / "deploy" / "hadoop"
"""`pom.xml` and the templates of the daemons' configuration; in a checkout only."""


def jar_directory() -> Path:
    """Where the jars of this checkout's `pom.xml` are, or would be. Raises UserError outside a checkout."""
    pom = HADOOP / "pom.xml"
    if not pom.is_file():
        raise UserError("a local Hadoop needs oncotrain's checkout (deploy/hadoop/pom.xml); this is an installed copy")
    cache = Path(os.environ.get("ONCOTRAIN_CACHE") or "~/.cache/oncotrain").expanduser()
    return cache / "hadoop" / hashlib.sha256(pom.read_bytes()).hexdigest()[:20]


def fetch_jars() -> Path:
    """The directory of the jars, filled in one step where it is not there. Raises UserError if Maven cannot."""
    target = jar_directory()
    if target.is_dir():
        return target
    if not shutil.which("mvn"):
        raise UserError("Hadoop's jars need Maven (Debian: maven); then type: make hadoop-jars")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jars-", dir=target.parent) as work:
        # Maven writes beside the pom: give it a copy, so that the checkout stays as it is.
        shutil.copy(HADOOP / "pom.xml", work)
        jars = Path(work) / "jars"
        command = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, cwd=work, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if done.returncode:
            raise UserError(f"Maven failed ({done.returncode}); to try again, type: make hadoop-jars")
        jars.rename(target)
    return target

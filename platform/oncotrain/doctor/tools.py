"""Probes of what is not Python: Java, Maven, and Hadoop's jars."""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from oncotrain.cluster.jars import jar_directory
from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError

_JAVA = "17"
_CLUSTER_ONLY = "needed by the cluster suites only"


def java() -> Probe:
    """The Java that Spark would start: of JAVA_HOME, or else the first on PATH."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    where = f"JAVA_HOME={home}" if home else "PATH"
    remedy = f"Java {_JAVA} is needed: apt-get install openjdk-17-jdk-headless, and let {where} point to it"
    if program is None:
        return Probe("Java", "", ok=False, remedy=f"not found by {where}; {remedy}")
    found = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', _output(program, "-version"))
    if found is None:
        return Probe("Java", "", ok=False, remedy=f"{program} does not tell its version; {remedy}")
    return Probe("Java", found[1], ok=found[2] == _JAVA, remedy=f"({program}) {remedy}")


def maven() -> Probe:
    """Maven fetches Hadoop's jars."""
    program = shutil.which("mvn")
    if program is None:
        return Probe("Maven", "", ok=False, optional=True, remedy=f"{_CLUSTER_ONLY}: apt-get install maven")
    found = re.search(r"Apache Maven (\S+)", _output(program, "--version"))
    return Probe("Maven", found[1] if found else "", ok=found is not None, optional=True, remedy=f"{program} fails")


def hadoop_jars() -> Probe:
    """Hadoop's jars in the cache."""
    jars: list[Path] = []
    with suppress(UserError):  # an installed copy has no pom.xml, and needs no jars
        jars = list(jar_directory().glob("hadoop-hdfs-[0-9]*.jar"))
    if not jars:
        return Probe("Hadoop jars", "", ok=False, optional=True, remedy=f"{_CLUSTER_ONLY}: make hadoop-jars")
    return Probe("Hadoop jars", jars[0].stem.removeprefix("hadoop-hdfs-"), ok=True, optional=True)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr

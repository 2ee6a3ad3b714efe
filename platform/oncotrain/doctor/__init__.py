"""Does everything the platform stands on work here? One probe a component, each by really using it."""

import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rich.text import Text

from oncotrain.doctor.connections import asks_for_kerberos, kerberos, lake, superlink
from oncotrain.doctor.probe import Probe, in_own_process
from oncotrain.doctor.tools import hadoop_jars, java, maven

__all__ = ["Probe", "render", "run_probes"]

_SET_UP = "type: make setup"
_COMPONENTS = {
    "Spark": ("spark", f"runs on Java 17 only, see above; otherwise {_SET_UP}"),
    "Petastorm": ("petastorm", _SET_UP),
    "Horovod": ("horovod", _SET_UP),
    "torch": ("torch", _SET_UP),
    "OpenSlide": ("openslide", _SET_UP),
    "Flower": ("flower", _SET_UP),
    "HDFS client": ("hdfs", _SET_UP),
}


def run_probes(
    superlink_address: str | None = None, root_certificates: str | None = None, lake_uri: str | None = None
) -> Iterator[Probe]:
    """Probe every component, a kerberized HDFS, and SuperLink and lake where given; in order, as answers come in.

    Takes about 20 s of CPU: Spark runs a job, and Horovod sums over two ranks.
    """
    yield Probe("Python", platform.python_version(), ok=True)
    checks = [java]
    checks += [partial(in_own_process, name, *how) for name, how in _COMPONENTS.items()]
    checks += [hadoop_jars, maven]
    if asks_for_kerberos():
        checks.append(kerberos)
    if superlink_address:
        checks.append(partial(superlink, superlink_address, root_certificates))
    if lake_uri:
        checks.append(partial(lake, lake_uri))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(lambda check: check(), checks)


def render(probe: Probe) -> Text:
    """One line: verdict, component, version, and what to do unless it is ok."""
    verdict, style = ("ok", "green") if probe.ok else ("optional", "yellow") if probe.optional else ("FAIL", "bold red")
    details = "" if probe.ok else f"  {probe.remedy}"
    return Text.assemble((f"{verdict:<9}", style), f"{probe.name:<13}{probe.version}", details)

"""The folder of a local cluster: configuration, data, logs, and the ports it was given."""

import json
import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from oncotrain.errors import UserError
from oncotrain.lake.names import require_slug

DATANODES = ("datanode-1", "datanode-2")
NODEMANAGERS = ("nodemanager-1", "nodemanager-2")

PORTS = (
    "kdc",
    "namenode",
    "namenode-http",
    *(f"{node}-{what}" for node in DATANODES for what in ("data", "http", "ipc")),
    *(f"resourcemanager-{what}" for what in ("client", "scheduler", "tracker", "admin", "http")),
    *(f"{node}-{what}" for node in NODEMANAGERS for what in ("rpc", "localizer", "http")),
)
_RANGE = range(20_000, 32_000)
"""Below the ports that Linux lends to outgoing connections, so that a restarted daemon finds its port free again."""


@dataclass(frozen=True)
class Cluster:
    """A cluster by its folder; running or not."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def conf(self) -> Path:
        """What HADOOP_CONF_DIR has to be."""
        return self.folder / "conf"

    @property
    def spark_conf(self) -> Path:
        """What SPARK_CONF_DIR has to be."""
        return self.folder / "spark"

    @property
    def kdc(self) -> Path:
        """What only the KDC reads."""
        return self.folder / "kdc"

    @property
    def krb5_conf(self) -> Path:
        """What KRB5_CONFIG has to be; only a cluster with Kerberos has it."""
        return self.conf / "krb5.conf"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def logs(self) -> Path:
        """`<daemon>.log`, and `<nodemanager>/<application>/<container>/stdout` and `stderr`."""
        return self.folder / "logs"

    @property
    def ports(self) -> dict[str, int]:
        """Port by purpose, see PORTS. Raises UserError if the cluster was never brought up."""
        try:
            ports: dict[str, int] = json.loads((self.folder / "state.json").read_text())["ports"]
        except FileNotFoundError:
            raise UserError(f"there is no cluster {self.name!r}; type: make cluster-up SITE={self.name}") from None
        return ports

    @property
    def uri(self) -> str:
        """The root of its HDFS."""
        return f"hdfs://127.0.0.1:{self.ports['namenode']}"

    def address(self, purpose: str) -> str:
        """HOST:PORT of one of PORTS."""
        return f"127.0.0.1:{self.ports[purpose]}"


def named_cluster(name: str) -> Cluster:
    """The cluster of that name in `clusters/` of this checkout. Raises UserError for a name that is no slug."""
    return Cluster(Path(__file__).parents[3] / "clusters" / require_slug("site", name))


def make_folder(cluster: Cluster) -> None:
    """Make the folder, which nobody else may enter, and give it ports; what is there stays."""
    cluster.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (cluster.conf, cluster.spark_conf, cluster.data, cluster.logs):
        folder.mkdir(exist_ok=True)
    state = cluster.folder / "state.json"
    if not state.exists():
        state.write_text(json.dumps({"ports": dict(zip(PORTS, free_ports(len(PORTS)), strict=True))}, indent=1))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, all different."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                break
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
    return found

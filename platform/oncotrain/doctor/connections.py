"""Probes of what a site talks to: a SuperLink, a kerberized HDFS, and a lake."""

import os
import socket
import ssl
from pathlib import Path
from xml.etree import ElementTree

from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError

_SECONDS = 10


def superlink(address: str, root_certificates: str | None) -> Probe:
    """A TLS connection to HOST:PORT, trusting the certificates in the file (PEM), or else this machine's."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return Probe("SuperLink", "", ok=False, remedy=f"{address!r} is not HOST:PORT")
    if root_certificates and not Path(root_certificates).is_file():
        return Probe("SuperLink", "", ok=False, remedy=f"--root-certificates {root_certificates}: no such file")
    try:
        context = ssl.create_default_context(cafile=root_certificates)
        context.set_alpn_protocols(["h2"])  # gRPC refuses others
        with (
            socket.create_connection((host, int(port)), timeout=_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            return Probe("SuperLink", f"{address} ({secured.version()})", ok=True)
    except ssl.SSLError as error:
        remedy = f"no trusted TLS: {error.reason or error}; give its CA with --root-certificates FILE"
        return Probe("SuperLink", address, ok=False, remedy=remedy)
    except (OSError, OverflowError) as error:
        remedy = f"{error}; start it (jobs/federated_server.py), or ask who runs it and whether a firewall is between"
        return Probe("SuperLink", address, ok=False, remedy=remedy)


def asks_for_kerberos() -> bool:
    """Does the configuration in HADOOP_CONF_DIR want tickets?"""
    file = Path(os.environ.get("HADOOP_CONF_DIR", "")) / "core-site.xml"
    if not file.is_file():
        return False
    properties = ElementTree.parse(file).iter("property")  # noqa: S314 - the administrator's own
    values = {one.findtext("name"): one.findtext("value") for one in properties}
    return values.get("hadoop.security.authentication") == "kerberos"


def kerberos() -> Probe:
    """Does the HDFS of that configuration (`fs.defaultFS`) let this account in?"""
    try:
        from oncotrain.lake.hdfs import Hdfs

        Hdfs().info("/")
    except (UserError, OSError, ImportError) as error:
        return Probe("Kerberos", "", ok=False, remedy=str(error))
    return Probe("Kerberos", "HDFS lets this account in", ok=True)


def lake(uri: str) -> Probe:
    """Is the lake there and laid out?"""
    try:
        # Here, because the lake imports Petastorm: where that is missing, the doctor still has to come up.
        from oncotrain.lake.filesystem import Lake
        from oncotrain.lake.layout import require_layout

        require_layout(Lake(uri))
    except (UserError, OSError, ImportError) as error:
        return Probe("lake", uri, ok=False, remedy=str(error))
    return Probe("lake", uri, ok=True)

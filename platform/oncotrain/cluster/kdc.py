"""Kerberos of a local cluster: a KDC and the keytabs of accounts, all of it in the cluster's folder."""

import getpass
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from string import Template

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.jars import HADOOP
from oncotrain.cluster.processes import MARK, processes_of
from oncotrain.errors import UserError

REALM = "ONCOTRAIN.TEST"
_TEMPLATES = HADOOP / "templates"


def start_kdc(cluster: Cluster) -> None:
    """Start the KDC unless it runs, with the principals of the daemons and of this account; makes the realm first.

    Raises UserError where Debian's packages are missing, or with what MIT's programs say.
    """
    if not cluster.krb5_conf.exists():
        _make_realm(cluster)
    if not any("krb5kdc" in process.name() for process in processes_of(cluster.folder)):
        # It goes into the background by itself, once it listens.
        _run(cluster, "krb5kdc", "-P", str(cluster.kdc / "pid"))


def add_account(cluster: Cluster, account: str) -> Path:
    """Make the principal `account` with a random key, and return its keytab, mode 0600."""
    keytab = keytab_of(cluster, account)
    keytab.parent.mkdir(exist_ok=True)
    _run(cluster, "kadmin.local", "-r", REALM, "addprinc", "-randkey", account)
    _run(cluster, "kadmin.local", "-r", REALM, "ktadd", "-k", str(keytab), account)
    return keytab


def keytab_of(cluster: Cluster, account: str) -> Path:
    """Where the keytab of an account, or of a service such as `ana/localhost`, is."""
    return cluster.folder / "keytabs" / f"{account.replace('/', '.')}.keytab"


def service() -> str:
    """The principal of all daemons, without its realm: they are this account's."""
    return f"{getpass.getuser()}/localhost"


def client_environment(cluster: Cluster, account: str) -> dict[str, str]:
    """The variables with which `account` finds the KDC and its keytab: it needs no kinit."""
    tickets = cluster.folder / "tickets"
    tickets.mkdir(exist_ok=True)
    return {
        **java_environment(cluster),
        "KRB5_CLIENT_KTNAME": f"FILE:{keytab_of(cluster, account)}",
        "KRB5CCNAME": f"FILE:{tickets / account}",
    }


def java_environment(cluster: Cluster) -> dict[str, str]:
    """The variables with which programs find the KDC, of a cluster that has none too; Java knows no KRB5_CONFIG."""
    if not cluster.krb5_conf.exists():
        return {}
    option = f"-Djava.security.krb5.conf={cluster.krb5_conf}"
    return {"KRB5_CONFIG": str(cluster.krb5_conf), "JAVA_TOOL_OPTIONS": option}


def _make_realm(cluster: Cluster) -> None:
    cluster.kdc.mkdir(exist_ok=True)
    values = {
        "realm": REALM,
        "kdc": cluster.address("kdc"),
        "folder": str(cluster.kdc),
        "logs": str(cluster.logs),
    }
    for name, target in (("kdc.conf", cluster.kdc / "kdc.conf"), ("krb5.conf", cluster.krb5_conf)):
        target.write_text(Template((_TEMPLATES / name).read_text()).substitute(values))
    _run(cluster, "kdb5_util", "-r", REALM, "-P", secrets.token_hex(), "create", "-s")
    for account in (service(), getpass.getuser()):
        add_account(cluster, account)


def _run(cluster: Cluster, program: str, *arguments: str) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    if not shutil.which(program, path=path):
        raise UserError(f"{program} is missing: apt-get install krb5-kdc krb5-admin-server krb5-user")
    variables = {
        **os.environ,
        "PATH": path,
        "KRB5_CONFIG": str(cluster.krb5_conf),
        "KRB5_KDC_PROFILE": str(cluster.kdc / "kdc.conf"),
        MARK: str(cluster.folder),
    }
    done = subprocess.run(
        [program, *arguments], env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise UserError(f"{program} failed: {done.stderr.strip()}")

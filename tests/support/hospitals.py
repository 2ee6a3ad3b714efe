"""A coordinator and hospitals, each in a network namespace of its own; a hospital's one way out is the coordinator.

    outside ── coordinator ──┬── hospital 1
                             └── hospital 2 ...

Whatever a party sends to an address that is not its own leaves it, so that a capture at the coordinator sees every
attempt; nothing is forwarded. Needs root.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from oncotrain.federation.process import running
from support.parties import COORDINATOR

OUTSIDE = "outside"
HOST = "10.77.0.1"
"""The coordinator's address, where its gateway listens."""
PORT = 8443
OUTSIDE_ADDRESS = "10.77.100.2"
"""Where the coordinator's machine sends what is not for a hospital."""
_PROBE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"
_FIREWALL = f"""
table inet oncotrain {{
    chain input {{
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        ip daddr {HOST} tcp dport {PORT} accept
    }}
    chain forward {{ type filter hook forward priority 0; policy drop; }}
}}
"""


@dataclass(frozen=True)
class Hospitals:
    """The running network; a party is `coordinator`, `outside` or the name of a hospital."""

    names: Sequence[str]

    def inside(self, party: str) -> list[str]:
        """What a command is preceded by, to run at `party`."""
        return ["ip", "netns", "exec", _namespace(party)]

    def outer_address(self, hospital: str) -> str:
        """By which the rest of the world would reach a hospital."""
        return f"10.77.{self.names.index(hospital) + 1}.2"

    def link(self, hospital: str) -> str:
        """The coordinator's interface towards a hospital."""
        return f"h{self.names.index(hospital) + 1}"

    def run(self, party: str, *command: str, text: str | None = None) -> str:
        """Output of a command at `party`; fails with what it said."""
        done = subprocess.run([*self.inside(party), *command], input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"{party}: {' '.join(command)}: {done.stderr}"
        return done.stdout


@contextmanager
def hospitals(names: Sequence[str]) -> Iterator[Hospitals]:
    """The namespaces, links and firewall for as long as the context lasts."""
    network = Hospitals(list(names))
    parties = [COORDINATOR, OUTSIDE, *names]
    try:
        for party in parties:
            _ip("netns", "add", _namespace(party))
            network.run(party, "ip", "link", "set", "lo", "up")
            network.run(party, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        network.run(COORDINATOR, "ip", "addr", "add", f"{HOST}/32", "dev", "lo")
        _connect(network, "world", OUTSIDE, 0)
        network.run(COORDINATOR, "ip", "route", "add", "default", "via", OUTSIDE_ADDRESS)
        for name in names:
            _connect(network, network.link(name), name, network.names.index(name) + 1)
        network.run(COORDINATOR, "nft", "-f", "-", text=_FIREWALL)
        yield network
    finally:
        for party in parties:
            _end_processes(party)
            subprocess.run(["ip", "netns", "del", _namespace(party)], capture_output=True)


def lossy(network: Hospitals, hospital: str, percent: int) -> AbstractContextManager[None]:
    """Of the packets between coordinator and `hospital`, each is lost with this probability, either way."""
    return _dropping(network, hospital, f"numgen random mod 100 < {percent}")


def cut(network: Hospitals, hospital: str) -> AbstractContextManager[None]:
    """Every packet between coordinator and `hospital` is lost; neither side is told."""
    return _dropping(network, hospital, "")


@contextmanager
def throttled(network: Hospitals, hospital: str, rate: str) -> Iterator[None]:
    """A token bucket on the way to and from `hospital`, such as ``8mbit``."""
    ends = [(COORDINATOR, network.link(hospital)), (hospital, "wan")]
    for party, link in ends:
        network.run(
            *(party, "tc", "qdisc", "add", "dev", link, "root", "tbf"),
            *("rate", rate, "burst", "32kbit", "latency", "400ms"),
        )
    try:
        yield
    finally:
        for party, link in ends:
            network.run(party, "tc", "qdisc", "del", "dev", link, "root")


def listening(network: Hospitals, party: str) -> set[str]:
    """Addresses (``host:port``) on which somebody at `party` waits for others, TCP and UDP."""
    lines = network.run(party, "ss", "-Hltun").splitlines()
    return {line.split()[4] for line in lines}


@contextmanager
def somebody_listens(network: Hospitals, party: str, port: int, log: Path) -> Iterator[None]:
    """A web server at `party`, on all its addresses."""
    command = [*network.inside(party), sys.executable, "-m", "http.server", "--bind", "0.0.0.0", str(port)]  # noqa: S104
    with running(command, environment={**os.environ, "PYTHONUNBUFFERED": "1"}, log=log):
        deadline = time.monotonic() + 20
        while not reaches(network, party, "127.0.0.1", port):
            assert time.monotonic() < deadline, log.read_text()
        yield


def reaches(network: Hospitals, party: str, host: str, port: int) -> bool:
    """Whether somebody at `party` can open a connection to `host:port`."""
    command = [*network.inside(party), sys.executable, "-c", _PROBE, host, str(port)]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def _dropping(network: Hospitals, hospital: str, which: str) -> Iterator[None]:
    link = network.link(hospital)
    rules = "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority -10; {way} {link} {which} drop; }}"
        for hook, way in (("input", "iifname"), ("output", "oifname"))
    )
    network.run(COORDINATOR, "nft", "-f", "-", text=f"table inet broken {{\n{rules}\n}}\n")
    try:
        yield
    finally:
        network.run(COORDINATOR, "nft", "delete", "table", "inet", "broken")


def _connect(network: Hospitals, link: str, party: str, number: int) -> None:
    """A cable between the coordinator's interface `link` and the party's `wan`."""
    here, there = f"10.77.{number or 100}.1", f"10.77.{number or 100}.2"
    _ip(
        "link", "add", link, "netns", _namespace(COORDINATOR), "type", "veth", "peer", "wan", "netns", _namespace(party)
    )
    network.run(COORDINATOR, "ip", "addr", "add", f"{here}/30", "dev", link)
    network.run(COORDINATOR, "ip", "link", "set", link, "up")
    network.run(party, "ip", "addr", "add", f"{there}/30", "dev", "wan")
    network.run(party, "ip", "link", "set", "wan", "up")
    network.run(party, "ip", "route", "add", "default", "via", here)


def _end_processes(party: str) -> None:
    found = subprocess.run(["ip", "netns", "pids", _namespace(party)], capture_output=True, text=True).stdout.split()
    if found:
        subprocess.run(["kill", "-KILL", *found], capture_output=True)


def _namespace(party: str) -> str:
    """Of this test process's own: several may run at a time."""
    return f"oncotrain-{os.getpid()}-{party}"


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"

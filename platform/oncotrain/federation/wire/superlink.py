"""Flower's server as a child process: started, told who may join, given one app to run, stopped."""

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oncotrain.errors import UserError
from oncotrain.federation.identity.certificates import ServerCertificate
from oncotrain.federation.process import last_lines, running
from oncotrain.federation.wire.flower import environment, executable

APP: Traversable = files("oncotrain.federation") / "app"
START_SECONDS = 120.0
_CONNECTION = "federation"
_NODES, _RUN = "nodes.json", "run"


@dataclass(frozen=True)
class SuperLink:
    """A running server. Raises UserError from every method once it has ended."""

    address: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def connect(self, authority: Path) -> None:
        """Leave the connection where `flwr` looks for it."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        (self.home / "config.toml").write_text(_connection(self.address, authority), encoding="utf-8")

    def admit(self, public_keys: Mapping[str, str]) -> dict[int, str]:
        """Admit these sites, by public key (OpenSSH), and nobody else any more; each by the number that Flower gave it.

        Who was admitted before, also by this server before it was started again, keeps the number with the same key.
        """
        nodes = self._admitted()
        for site, (node, key) in list(nodes.items()):
            if public_keys.get(site) != key:
                self.remove(node)
                del nodes[site]
                self._keep(nodes)

        def register(site: str) -> tuple[int, str]:
            file = self.home / f"{site}.pub"
            file.write_text(public_keys[site], encoding="utf-8")
            answer = self._flwr("supernode", "register", str(file), _CONNECTION, "--name", site)
            return int(str(answer["node-id"])), public_keys[site]

        new = [site for site in public_keys if site not in nodes]
        with ThreadPoolExecutor(max(1, len(new))) as pool:
            nodes |= dict(zip(new, pool.map(register, new), strict=True))
        self._keep(nodes)
        return {nodes[site][0]: site for site in public_keys}

    def remove(self, node: int) -> None:
        """Shut a site out, at once: its next request is refused, and its key can never be registered again."""
        self._flwr("supernode", "unregister", str(node), _CONNECTION)

    def _admitted(self) -> dict[str, tuple[int, str]]:
        """Number and public key of each site that this server's database knows."""
        nodes = self.home / _NODES
        return json.loads(nodes.read_text(encoding="utf-8")) if nodes.exists() else {}

    def _keep(self, nodes: Mapping[str, tuple[int, str]]) -> None:
        (self.home / _NODES).write_text(json.dumps(nodes), encoding="utf-8")

    def submit(self, settings: Mapping[str, str]) -> int:
        """Start a run of the app with these run settings; its number.

        An earlier one that a killed coordinator left is ended first: its sites would wait for what it did not send.
        """
        last = self.home / _RUN
        if last.exists() and not self.status(int(last.read_text(encoding="utf-8"))).startswith("finished"):
            self._flwr("stop", last.read_text(encoding="utf-8"), _CONNECTION)
        pairs = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        with TemporaryDirectory(dir=self.home) as app:  # whose own place may be a zip, or not to be written to
            for file in APP.iterdir():
                Path(app, file.name).write_bytes(file.read_bytes())
            run = str(self._flwr("run", app, _CONNECTION, "-c", " ".join(pairs))["run-id"])
        last.write_text(run, encoding="utf-8")
        return int(run)

    def status(self, run: int) -> str:
        """Flower's word on a run, such as ``running`` or ``finished:failed``."""
        return str(self._flwr("ls", _CONNECTION, "--run-id", str(run))["runs"][0]["status"])

    def require_alive(self) -> None:
        """Raise UserError with the end of its log if the server has ended."""
        if self.process.poll() is not None:
            raise UserError(f"the SuperLink at {self.address} ended; {self.log} ends with:\n{last_lines(self.log)}")

    def _flwr(self, *arguments: str) -> dict[str, Any]:
        self.require_alive()
        done = subprocess.run(
            [executable("flwr"), *arguments, "--format", "json"],
            env=environment(self.home),
            capture_output=True,
            text=True,
            check=False,
        )
        answer: dict[str, Any]
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = {"error-message": f"{done.stdout}{done.stderr}".strip()}
        if done.returncode or not answer.get("success"):
            raise UserError(f"flwr {arguments[0]} failed: {answer.get('error-message', answer)}")
        return answer


@contextmanager
def superlink(work: Path, certificate: ServerCertificate, port: int) -> Iterator[SuperLink]:
    """A server on loopback, with TLS, that admits registered sites only, for as long as the context lasts.

    `work` is a private folder for its state and log. Raises UserError if it does not start, as on a port in use.
    """
    home = work / "superlink"
    home.mkdir(mode=0o700, exist_ok=True)
    address, log = f"127.0.0.1:{port}", work / "superlink.log"
    command = [
        *(sys.executable, "-m", "oncotrain.federation.wire.patient_superlink"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--ssl-ca-certfile", str(certificate.authority)),
        *("--ssl-certfile", str(certificate.certificate), "--ssl-keyfile", str(certificate.key)),
        *("--database", str(home / "state.db")),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]
    with running(command, environment=environment(home), log=log) as process:
        server = SuperLink(address, home, log, process)
        server.connect(certificate.authority)
        _wait_until_it_answers(server, certificate.authority)
        yield server


def reach(address: str, authority: Path, name: str | None = None) -> None:
    """Open and close a TLS connection to ``host:port``, whose certificate holds for `name`, by default the host.

    Raises OSError (of which ssl.SSLError is one) if nobody answers, or not with a certificate of `authority`.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name or host),
    ):
        return


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback interface that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_it_answers(server: SuperLink, authority: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        server.require_alive()
        try:
            return reach(server.address, authority)
        except OSError:
            time.sleep(0.1)
    raise UserError(f"the SuperLink at {server.address} did not answer within {START_SECONDS:.0f} s; see {server.log}")


def _connection(address: str, authority: Path) -> str:
    return (
        f'[superlink]\ndefault = "{_CONNECTION}"\n\n'
        f'[superlink.{_CONNECTION}]\naddress = "{address}"\nroot-certificates = "{authority}"\n'
    )

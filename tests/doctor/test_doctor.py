"""The doctor can say no: each thing that may be wrong flips its own line."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from oncotrain import cli
from oncotrain.doctor import Probe, components, render
from oncotrain.doctor.connections import lake as lake_probe
from oncotrain.doctor.connections import superlink
from oncotrain.doctor.probe import in_own_process
from oncotrain.doctor.tools import hadoop_jars, java, maven
from oncotrain.lake.filesystem import Lake


def _program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder


# Java


@pytest.mark.parametrize(
    ("line", "version", "ok"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15", True),
        ('java version "1.8.0_292"', "1.8.0_292", False),
        ('openjdk version "21" 2023-09-19', "21", False),
        ("Segmentation fault", "", False),
    ],
)
def test_java_first_on_path_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, version: str, ok: bool
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    folder = _program(tmp_path, "java", f"echo '{line}' >&2")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    probe = java()
    assert (probe.version, probe.ok) == (version, ok)
    assert ok or "Java 17 is needed" in render(probe).plain


def test_java_home_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "home" / "bin", "java", "echo 'openjdk version \"11.0.2\"' >&2")
    folder = _program(tmp_path / "path", "java", "echo 'openjdk version \"17.0.15\"' >&2")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    probe = java()
    assert not probe.ok
    assert "JAVA_HOME" in probe.remedy


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    probe = java()
    assert not probe.ok
    assert "apt-get install openjdk-17-jdk-headless" in probe.remedy


# Python components


def test_a_working_component_tells_its_version() -> None:
    probe = in_own_process("Petastorm", "petastorm", "type: make setup")
    assert probe == Probe("Petastorm", "0.13.1+oncotrain4", ok=True)


def test_horovod_sums_over_two_ranks() -> None:
    assert in_own_process("Horovod", "horovod", "type: make setup").version == "0.28.1+oncotrain4"


@pytest.mark.parametrize(
    ("component", "module"), [("petastorm", "petastorm"), ("horovod", "horovod"), ("hdfs", "hdfs_native")]
)
def test_a_missing_wheel_is_a_failed_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, component: str, module: str
) -> None:
    """`sitecustomize` makes the module unimportable in every interpreter that is started, as if it was missing."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = in_own_process("name", component, "type: make setup")
    assert not probe.ok
    assert "type: make setup" in probe.remedy


def test_an_unpatched_petastorm_is_a_failed_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "petastorm.py").write_text("__version__ = '0.13.1'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not in_own_process("Petastorm", "petastorm", "type: make setup").ok


def test_a_component_that_kills_its_process_is_a_failed_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hdfs_native.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not in_own_process("HDFS client", "hdfs", "type: make setup").ok


@pytest.mark.parametrize("component", ["openslide", "flower", "torch"])
def test_components(component: str) -> None:
    assert getattr(components, component)()[0].isdigit()


def test_hadoop_configuration_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert str(tmp_path) in components.hdfs()
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path / "gone"))
    with pytest.raises(RuntimeError, match="is not a directory"):
        components.hdfs()


def test_hadoop_and_maven_are_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCOTRAIN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for probe in (hadoop_jars(), maven()):
        assert not probe.ok
        assert probe.optional
        assert render(probe).plain.startswith("optional")
        assert "cluster suites only" in probe.remedy


# A SuperLink


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + built.public_bytes(Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_address(certificate: Path) -> Iterator[str]:
    """A TLS server on loopback: as much of a SuperLink as the probe talks to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_superlink_with_its_certificate(tls_address: str, certificate: Path) -> None:
    probe = superlink(tls_address, str(certificate))
    assert probe.ok
    assert "TLSv1.3" in probe.version


def test_superlink_that_is_not_trusted(tls_address: str) -> None:
    probe = superlink(tls_address, None)
    assert not probe.ok
    assert "--root-certificates" in probe.remedy


def test_superlink_that_is_stopped(certificate: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    probe = superlink(address, str(certificate))
    assert not probe.ok
    assert "refused" in probe.remedy
    assert "jobs/federated_server.py" in probe.remedy


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":9092", "localhost:port"])
def test_superlink_address_is_host_and_port(address: str) -> None:
    assert "is not HOST:PORT" in superlink(address, None).remedy


# A lake


def test_lake(lake: Lake, tmp_path: Path) -> None:
    assert lake_probe(lake.uri).ok
    bare = lake_probe(f"file://{tmp_path / 'nowhere'}")
    assert not bare.ok
    assert "oncotrain layout apply" in bare.remedy
    assert not lake_probe("ftp://somewhere/lake").ok


# The command


@pytest.mark.parametrize(
    ("probes", "code"),
    [
        ([Probe("Java", "17", ok=True), Probe("Maven", "", ok=False, optional=True, remedy="install it")], 0),
        ([Probe("Java", "8", ok=False, remedy="install 17"), Probe("torch", "2", ok=True)], 1),
    ],
)
def test_exit_code_and_lines(monkeypatch: pytest.MonkeyPatch, probes: list[Probe], code: int) -> None:
    monkeypatch.setattr(cli, "run_probes", lambda *_: iter(probes))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == code
    lines = result.stdout.splitlines()
    assert len(lines) == len(probes)
    assert all(probe.ok or probe.remedy in line for probe, line in zip(probes, lines, strict=True))


def test_import_of_the_command_needs_no_wheel() -> None:
    """The doctor must come up where Petastorm, Horovod, torch and Spark do not."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['petastorm', 'horovod', 'torch', 'pyspark', 'flwr']))"
    subprocess.run([sys.executable, "-c", f"{blocked}; import oncotrain.cli"], check=True)

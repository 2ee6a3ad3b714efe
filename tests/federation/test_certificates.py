"""Certificates that the other side's TLS agrees with, before and after they are renewed."""

import shutil
import subprocess

import pytest

from oncotrain.errors import UserError
from oncotrain.federation.identity.certificates import ServerCertificate, hosts_of, make_server_certificate


@pytest.fixture
def files(tmp_path):
    files = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(files, ["coordinator.example", "127.0.0.1"])
    return files


def test_only_the_owner_reads_any_of_it(files):
    assert {file.stat().st_mode & 0o777 for file in files.key.parent.iterdir()} == {0o600}


def test_a_renewed_certificate_is_of_the_authority_that_sites_have(files):
    authority, first = files.authority.read_bytes(), files.certificate.read_bytes()
    make_server_certificate(files, ["elsewhere.example"])
    assert files.authority.read_bytes() == authority
    assert files.certificate.read_bytes() != first
    assert hosts_of(files) == ["elsewhere.example", "localhost", "127.0.0.1"]
    assert verifies(files, "-verify_hostname", "elsewhere.example")
    assert not verifies(files, "-verify_hostname", "coordinator.example")


def test_the_key_of_another_authority_signs_nothing(files, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    make_server_certificate(ServerCertificate.in_folder(other), ["coordinator.example"])
    shutil.copy(other / "authority.key", files.authority_key)
    with pytest.raises(UserError, match=r"authority\.key: is not the key of .*authority\.pem"):
        make_server_certificate(files, ["coordinator.example"])


def test_the_certificate_holds_for_its_hosts_alone(files):
    assert verifies(files, "-verify_hostname", "coordinator.example", "-purpose", "sslserver")
    assert verifies(files, "-verify_ip", "127.0.0.1")
    assert not verifies(files, "-verify_hostname", "elsewhere.example")


def verifies(files: ServerCertificate, *check: str) -> bool:
    command = ["openssl", "verify", "-x509_strict", "-CAfile", files.authority, *check, files.certificate]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

"""Certificates and keys that the other side's TLS and OpenSSH agree with."""

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from oncotrain.federation.certificates import ServerCertificate, make_server_certificate
from oncotrain.federation.keys import make_site_key


def test_only_the_owner_reads_any_of_it(tmp_path):
    make_server_certificate(ServerCertificate.in_folder(tmp_path), ["localhost", "127.0.0.1"])
    make_site_key(tmp_path, "uz-leuven")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_sites_key_pair_is_p384_and_belongs_together(tmp_path):
    private = make_site_key(tmp_path, "uz-leuven")
    key = load_ssh_private_key(private.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP384R1)
    public = load_ssh_public_key((tmp_path / "uz-leuven.key.pub").read_bytes())
    assert key.public_key() == public


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificate_holds_for_its_hosts_alone(tmp_path):
    files = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(files, ["coordinator.example", "127.0.0.1"])

    def verifies(*check: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", files.authority, *check, files.certificate]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert verifies("-verify_hostname", "coordinator.example", "-purpose", "sslserver")
    assert verifies("-verify_ip", "127.0.0.1")
    assert not verifies("-verify_hostname", "elsewhere.example")

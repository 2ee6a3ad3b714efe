"""Certificates of the coordinator and key pairs of the sites.

The coordinator's certificate authority signs one server certificate; sites trust the authority alone. A site proves
who it is with an elliptic-curve key pair (NIST P-384), whose public half the coordinator registers.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oncotrain.federation.heads import COORDINATOR
from oncotrain.federation.private_file import write_private

VALIDITY = timedelta(days=365)


@dataclass(frozen=True)
class ServerCertificate:
    """Files of one coordinator: what its server needs, and `authority`, which sites are given."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The files' names in `folder`."""
        return cls(folder / "authority.pem", folder / "server.pem", folder / "server.key")


def make_server_certificate(files: ServerCertificate, hosts: Sequence[str]) -> None:
    """Make a new authority and a certificate for `hosts` (names or IP addresses), valid for a year.

    The authority's private key signs this one certificate and is forgotten.
    """
    now = datetime.now(UTC)
    authority_key = ec.generate_private_key(ec.SECP384R1())
    authority_name = _name("oncotrain federation authority")
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    server_key = ec.generate_private_key(ec.SECP384R1())
    server = (
        _certificate(_name("oncotrain coordinator"), authority_name, server_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    write_private(files.authority, authority.public_bytes(serialization.Encoding.PEM))
    write_private(files.certificate, server.public_bytes(serialization.Encoding.PEM))
    write_private(
        files.key,
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def make_site_key(folder: Path, site: str) -> Path:
    """A new key pair in OpenSSH format: ``<site>.key`` (mode 0600), which is returned, and ``<site>.key.pub``."""
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / f"{site}.key", folder / f"{site}.key.pub"
    write_private(
        private,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
    )
    public_bytes = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_private(public, public_bytes + f" {site}\n".encode())
    return private


def make_audit_key(folder: Path) -> Path:
    """As `make_site_key`, of the coordinator: signs the heads of its audit, ``coordinator.key`` and ``.pub``."""
    return make_site_key(folder, COORDINATOR)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # Sites' clocks may run a little behind the coordinator's.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALIDITY)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

"""Certificates of the coordinator: its own authority, which sites trust alone, and the server certificates it signs."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from oncotrain.errors import UserError
from oncotrain.federation.identity.private_file import write_private

AUTHORITY_VALIDITY = timedelta(days=3650)
VALIDITY = timedelta(days=365)
THIS_MACHINE = "localhost"
"""A name for which every certificate holds."""


@dataclass(frozen=True)
class ServerCertificate:
    """Files of one coordinator: what its server needs, and `authority`, which sites are given."""

    authority: Path
    authority_key: Path
    certificate: Path
    key: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The files' names in `folder`."""
        return cls(*(folder / name for name in ("authority.pem", "authority.key", "server.pem", "server.key")))


def make_server_certificate(files: ServerCertificate, hosts: Sequence[str]) -> None:
    """Make a certificate for `hosts` (names or IP addresses) and this machine itself, valid for a year.

    The authority is made, too, unless it is there. Its private key stays beside the server's (mode 0600), so that a
    certificate is renewed without giving every site another authority. Who can read the one can read the other, and be
    this coordinator. Raises UserError if the two halves of the authority are not one pair.
    """
    if not files.authority.exists():
        _make_authority(files)
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    authority_key = cast(
        ec.EllipticCurvePrivateKey, load_pem_private_key(files.authority_key.read_bytes(), password=None)
    )
    if authority_key.public_key() != authority.public_key():
        raise UserError(f"{files.authority_key}: is not the key of {files.authority}")
    names = [_alternative(host) for host in dict.fromkeys([*hosts, THIS_MACHINE, "127.0.0.1"])]
    key = ec.generate_private_key(ec.SECP384R1())
    server = (
        _certificate(_name("oncotrain coordinator"), authority.subject, key.public_key(), VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    write_private(files.key, _pem(key))
    write_private(files.certificate, server.public_bytes(serialization.Encoding.PEM))


def hosts_of(files: ServerCertificate) -> list[str]:
    """Names and addresses for which the server's certificate holds."""
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def expiry(certificate: bytes) -> datetime:
    """When a certificate (PEM) ends to be valid, UTC."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _make_authority(files: ServerCertificate) -> None:
    key, name = ec.generate_private_key(ec.SECP384R1()), _name("oncotrain federation authority")
    authority = (
        _certificate(name, name, key.public_key(), AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    write_private(files.authority, authority.public_bytes(serialization.Encoding.PEM))
    write_private(files.authority_key, _pem(key))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, validity: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # Sites' clocks may run a little behind the coordinator's.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + validity)
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

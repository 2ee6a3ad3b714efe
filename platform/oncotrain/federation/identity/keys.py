"""Key pairs: a site proves who it is and signs its audit with one, the coordinator signs its own; NIST P-384, OpenSSH.

Each is made where it is used. Its private half never leaves that folder, and others get ``<name>.key.pub``.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from oncotrain.errors import UserError
from oncotrain.federation.identity.private_file import write_private

COORDINATOR = "coordinator"
"""The name of the coordinator's key and of its audit chain; no site has it."""

PublicKey = ec.EllipticCurvePublicKey
PrivateKey = ec.EllipticCurvePrivateKey

_WANTED = "is not an elliptic-curve key on NIST P-384 (ssh-keygen -t ecdsa -b 384)"


def make_site_key(folder: Path, site: str) -> Path:
    """A new key pair: ``<site>.key`` (mode 0600), which is returned, and ``<site>.key.pub``."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = folder / f"{site}.key"
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    write_private(public_half(private), f"{openssh(key.public_key())} {site}\n".encode())
    return private


def make_audit_key(folder: Path) -> Path:
    """As `make_site_key`, of the coordinator: signs the heads of its audit, ``coordinator.key`` and ``.pub``."""
    return make_site_key(folder, COORDINATOR)


def public_half(private: Path) -> Path:
    """The file of the public half of the key in the file `private`."""
    return private.with_name(f"{private.name}.pub")


def load_private_key(path: Path) -> PrivateKey:
    """The private key in `path`. Raises UserError naming the file if it holds none, or one that is not P-384."""
    try:
        key = load_ssh_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{path}: is no private key in OpenSSH format without a pass phrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise UserError(f"{path}: {_WANTED}")
    return key


def load_public_key(path: Path) -> PublicKey:
    """The public key in `path`, such as ``<site>.key.pub``. Raises UserError as `parse_public_key` does."""
    return parse_public_key(_read(path), str(path))


def parse_public_key(content: bytes, what: str) -> PublicKey:
    """A public key in OpenSSH format. Raises UserError saying that `what` is none, or is not P-384."""
    try:
        key = load_ssh_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{what}: is no public key in OpenSSH format") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise UserError(f"{what}: {_WANTED}")
    return key


def openssh(key: PublicKey) -> str:
    """A public key as one line without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of a key's SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def spoken(hexadecimal: str) -> str:
    """A fingerprint in groups of four, to be read out over the phone."""
    return " ".join(hexadecimal[at : at + 4] for at in range(0, len(hexadecimal), 4))


def require_own_keys(keys: Mapping[str, PublicKey], what: str) -> None:
    """Raise UserError, beginning with `what`, if two names have one key."""
    owners: dict[str, str] = {}
    for site, key in keys.items():
        other = owners.setdefault(fingerprint(key), site)
        if other != site:
            raise UserError(f"{what}: {other} and {site} have the same key; each site has its own")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None

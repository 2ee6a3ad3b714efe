"""What a site needs beside its data to hide its updates."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from oncotrain.errors import UserError
from oncotrain.federation.secure.roster import Roster, load_public_key, read_roster

ROSTER, CONSORTIUM = "roster.json", "consortium.pub"
"""Names of the two files in a participant's folder of keys."""


@dataclass(frozen=True)
class Credentials:
    """A site's long-term key, which nobody else may have had, and the roster that has its public half."""

    key: ec.EllipticCurvePrivateKey
    roster: Roster


def read_credentials(key: Path, roster: Path, consortium: Path) -> Credentials:
    """Credentials of files: `key` and `consortium`, a public key, in OpenSSH format.

    Raises UserError naming the file that is missing, is no such key, or is a roster that the consortium did not sign.
    """
    try:
        private = load_ssh_private_key(_read(key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{key}: is no private key in OpenSSH format without a pass phrase") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise UserError(f"{key}: is not an elliptic-curve key")
    return Credentials(private, load_roster(roster, consortium))


def load_roster(roster: Path, consortium: Path) -> Roster:
    """The roster in a file. Raises UserError as `read_credentials` does."""
    return read_roster(_read(roster), load_public_key(_read(consortium), str(consortium)), str(roster))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None

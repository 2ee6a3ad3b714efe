"""What a site needs beside its data to hide its updates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import PrivateKey, PublicKey, load_private_key, load_public_key, openssh
from oncotrain.federation.identity.private_file import write_private
from oncotrain.federation.secure.roster import Roster, make_roster, read_roster

ROSTER, CONSORTIUM = "roster.json", "consortium.pub"
"""Names of the two files in a participant's folder of keys."""


@dataclass(frozen=True)
class Credentials:
    """A site's long-term key, which nobody else may have had, and the roster that has its public half."""

    key: PrivateKey
    roster: Roster


def read_credentials(key: Path, roster: Path, consortium: Path) -> Credentials:
    """Credentials of files: `key` and `consortium`, a public key, in OpenSSH format.

    Raises UserError naming the file that is missing, is no such key, or is a roster that the consortium did not sign.
    """
    return Credentials(load_private_key(key), load_roster(roster, consortium))


def load_roster(roster: Path, consortium: Path) -> Roster:
    """The roster in a file. Raises UserError as `read_credentials` does."""
    try:
        content = roster.read_bytes()
    except OSError as error:
        raise UserError(f"{roster}: cannot be read ({error.strerror})") from None
    return read_roster(content, load_public_key(consortium), str(roster))


def write_roster(folder: Path, keys: Mapping[str, PublicKey], signer: PrivateKey) -> None:
    """Write ROSTER and CONSORTIUM for the sites with these keys."""
    lines = {site: openssh(key).encode() for site, key in keys.items()}
    write_private(folder / ROSTER, make_roster(lines, signer))
    write_private(folder / CONSORTIUM, f"{openssh(signer.public_key())} consortium\n".encode())

"""A site's new key: made beside the old one, and used once the old one has announced it in the site's audit.

The line that hands over is the last one that is covered by heads of the old key alone: whoever trusts one of the two
keys can follow the chain over it (`linked_keys`).
"""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from oncotrain.errors import DataError, UserError
from oncotrain.federation.identity.keys import (
    PublicKey,
    fingerprint,
    load_private_key,
    make_site_key,
    openssh,
    parse_public_key,
    public_half,
)
from oncotrain.federation.identity.private_file import write_private
from oncotrain.lake.audit import append
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import canonical_json

HAND_OVER = "hand over"
"""The action of the line."""
_PURPOSE = "oncotrain key hand-over"


def make_first_key(folder: Path, site: str) -> Path:
    """The site's key in `folder` (made with mode 0700). Raises UserError if there is one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = folder / f"{site}.key"
    if key.exists():
        raise UserError(f"{key}: is there; a new key is made beside it with --rotate")
    return make_site_key(folder, site)


def make_next_key(folder: Path, site: str) -> Path:
    """A key beside the one in use, which stays so. Raises UserError if there is none in use, or a next one already."""
    load_private_key(folder / f"{site}.key")
    key = next_key(folder, site)
    if key.exists():
        raise UserError(f"{key}: is there; once the coordinator has admitted it, type: oncotrain site switch-key")
    return make_site_key(folder, key.name.removesuffix(".key"))


def next_key(folder: Path, site: str) -> Path:
    """Where the next key waits, if there is one."""
    return folder / f"{site}.next.key"


def hand_over(lake: Lake, folder: Path, site: str) -> PublicKey:
    """Use the next key from now on: the old one announces it in the site's audit, then is deleted. Returns the new.

    Interrupted, it can be called again. Raises UserError if no key waits, DataError if the audit is broken.
    """
    waiting, key = next_key(folder, site), folder / f"{site}.key"
    if not waiting.exists():
        raise UserError(f"{waiting}: is not there; type: oncotrain site keys --site {site} --folder {folder} --rotate")
    old, new = load_private_key(key), load_private_key(waiting).public_key()
    signature = old.sign(_statement(site, old.public_key(), new), ec.ECDSA(hashes.SHA384()))
    event = {
        "action": HAND_OVER,
        "old_key": openssh(old.public_key()),
        "new_key": openssh(new),
        "signature": base64.b64encode(signature).decode(),
    }
    append(lake, site, event)
    write_private(public_half(key), f"{openssh(new)} {site}\n".encode())
    waiting.replace(key)
    public_half(waiting).unlink(missing_ok=True)
    return new


def linked_keys(site: str, lines: Iterable[Mapping[str, Any]], key: PublicKey) -> dict[str, PublicKey]:
    """`key`, and those that hand-over lines of the chain of `site` link it to, before and after; by fingerprint.

    Raises DataError for such a line that its old key did not sign.
    """
    handed = [_keys_of(site, line) for line in lines if line["event"].get("action") == HAND_OVER]
    linked = {fingerprint(key): key}
    while True:
        reached = [pair for pair in handed if pair.keys() & linked.keys() and pair.keys() - linked.keys()]
        if not reached:
            return linked
        for pair in reached:
            linked |= pair


def _keys_of(site: str, line: Mapping[str, Any]) -> dict[str, PublicKey]:
    """Old and new key of a hand-over line, by fingerprint."""
    event = line["event"]
    try:
        old, new = (parse_public_key(str(event[name]).encode(), name) for name in ("old_key", "new_key"))
        signature = base64.b64decode(event["signature"], validate=True)
        old.verify(signature, _statement(site, old, new), ec.ECDSA(hashes.SHA384()))
    except (KeyError, ValueError, TypeError, UserError, InvalidSignature):
        raise DataError(
            f"line {line['number'] + 1} of {site}'s audit hands over to a key, not signed by the one before"
        ) from None
    return {fingerprint(old): old, fingerprint(new): new}


def _statement(site: str, old: PublicKey, new: PublicKey) -> bytes:
    return canonical_json({"purpose": _PURPOSE, "site": site, "old": fingerprint(old), "new": fingerprint(new)})

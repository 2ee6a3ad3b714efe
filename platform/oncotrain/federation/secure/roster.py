"""Who takes part: the sites' names and public keys, signed by the consortium.

Each site is given the file and the consortium's public key outside of the platform. The private half must not be the
coordinator's: who signs rosters can invent sites.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import PublicKey, openssh, parse_public_key, require_own_keys
from oncotrain.lake.manifest import canonical_json
from oncotrain.lake.names import require_slug

_STATEMENT = "oncotrain roster 1"


@dataclass(frozen=True)
class Roster:
    """Sites whose keys were signed together."""

    keys: Mapping[str, PublicKey]
    """NIST P-384, by site."""
    sha256: str
    """Of the signed statement; what a round is bound to."""


def make_roster(keys: Mapping[str, bytes], consortium: ec.EllipticCurvePrivateKey) -> bytes:
    """The roster's file.

    Args:
        keys: Site -> public key in OpenSSH format, as `make_site_key` writes it; comments are left out.
        consortium: Signs, ECDSA with SHA-384.

    Raises UserError for a name that is not a site's, a key that is not P-384 or that two sites share.
    """
    sites = {site: openssh(_public_key(site, key)) for site, key in keys.items()}
    statement = _statement(sites)
    _keys(sites)
    signature = sign(consortium, statement)
    return json.dumps({"sites": sites, "signature": signature.hex()}, indent=2, sort_keys=True).encode() + b"\n"


def read_roster(content: bytes, consortium: PublicKey, source: str) -> Roster:
    """The roster in a file's `content`; `source` is the file's name, for messages.

    Raises UserError if it is none, the consortium did not sign it, a key is not P-384, or two sites share one.
    """
    try:
        document = json.loads(content)
        sites, signature = dict(document["sites"]), bytes.fromhex(document["signature"])
        statement = _statement(sites)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{source}: is no roster: JSON with 'sites' and 'signature' is") from None
    if not is_signed(consortium, signature, statement):
        raise UserError(f"{source}: the signature is not the consortium's; ask for the roster again")
    return Roster(_keys(sites), hashlib.sha256(statement).hexdigest())


def sign(key: ec.EllipticCurvePrivateKey, statement: bytes) -> bytes:
    """ECDSA with SHA-384, DER."""
    return key.sign(statement, ec.ECDSA(hashes.SHA384()))


def is_signed(key: PublicKey, signature: bytes, statement: bytes) -> bool:
    """Whether the holder of `key` signed `statement`."""
    try:
        key.verify(signature, statement, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _statement(sites: Mapping[str, Any]) -> bytes:
    return canonical_json({"statement": _STATEMENT, "sites": dict(sites)})


def _keys(sites: Mapping[str, Any]) -> dict[str, PublicKey]:
    keys = {require_slug("site", site): _public_key(site, str(key).encode()) for site, key in sorted(sites.items())}
    require_own_keys(keys, "roster")
    return keys


def _public_key(site: str, content: bytes) -> PublicKey:
    return parse_public_key(content, f"roster: the key of {site}")

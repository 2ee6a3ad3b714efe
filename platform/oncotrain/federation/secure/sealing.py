"""Shares on their way through the coordinator: X25519, HKDF and AES-256-GCM."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from oncotrain.errors import UserError
from oncotrain.federation.secure.messages import SealedShare
from oncotrain.federation.secure.session import Session

_NONCE_BYTES = 12


def exchange(own: X25519PrivateKey, other: bytes, site: str) -> bytes:
    """The secret that two keys have in common. Raises UserError if `site`'s public key `other` is a degenerate one."""
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise UserError(f"secure aggregation: a key of {site} is not usable") from None


def seal(session: Session, shared: bytes, sender: str, recipient: str, keys: str, share: bytes) -> SealedShare:
    """`share`, which only `recipient` can read; `keys` is the digest of the key list it was made for."""
    cipher, bound = _cipher(session, shared, sender, recipient, keys)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return SealedShare(sender=sender, recipient=recipient, content=nonce + cipher.encrypt(nonce, share, bound))


def unseal(session: Session, shared: bytes, keys: str, sealed: SealedShare) -> bytes:
    """The share. Raises UserError if it was changed, or made for another recipient, round or key list."""
    cipher, bound = _cipher(session, shared, sealed.sender, sealed.recipient, keys)
    nonce, text = sealed.content[:_NONCE_BYTES], sealed.content[_NONCE_BYTES:]
    try:
        return cipher.decrypt(nonce, text, bound)
    except (InvalidTag, ValueError):
        raise UserError(f"secure aggregation: the share from {sealed.sender} was changed on its way") from None


def _cipher(session: Session, shared: bytes, sender: str, recipient: str, keys: str) -> tuple[AESGCM, bytes]:
    content = {"sender": sender, "recipient": recipient, "keys": keys}
    return AESGCM(session.derive(shared, "share", **content)), session.statement("share", **content)

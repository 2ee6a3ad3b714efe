"""Masks: key streams of ChaCha20 (RFC 8439) as vectors modulo 2 ** 64."""

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from oncotrain.federation.secure.session import Session


def seed_sha256(session: Session, site: str, seed: bytes) -> bytes:
    """What commits `site` to its seed and, of 32 random bytes, tells nothing."""
    return hashlib.sha256(session.statement("seed", site=site) + seed).digest()


def self_mask(session: Session, site: str, seed: bytes, length: int) -> np.ndarray:
    """uint64[length] that hides `site`'s update even where its pairwise masks become known."""
    return _expand(session.derive(seed, "self mask", site=site), length)


def add_pairwise_mask(vector: np.ndarray, session: Session, site: str, other: str, shared: bytes) -> None:
    """Add to `site`'s uint64 vector, in place, the mask it has in common with `other`; in both's sum it cancels.

    `shared` is the secret that the mask keys of the two have in common.
    """
    mask = _expand(session.derive(shared, "pairwise mask", sites=sorted([site, other])), len(vector))
    if site < other:
        vector += mask
    else:
        vector -= mask


def _expand(key: bytes, length: int) -> np.ndarray:
    """uint64[length] from a key of 32 bytes that is used for nothing else, which is why the nonce may be zero."""
    stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(8 * length))
    return np.frombuffer(stream, dtype="<u8")

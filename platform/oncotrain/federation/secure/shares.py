"""Shamir's secret sharing of 32 bytes: A. Shamir, How to share a secret, CACM 1979, over GF(2 ** 128) in two halves."""

from collections.abc import Mapping

from Crypto.Protocol.SecretSharing import Shamir

SECRET_BYTES = 32
_HALVES = (slice(0, 16), slice(16, SECRET_BYTES))
"""pycryptodome shares 16 bytes at a time."""


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """`count` shares of 32 bytes, of which `threshold` make `secret`; the first is number 1."""
    halves = [Shamir.split(threshold, count, secret[half], ssss=False) for half in _HALVES]
    return [first + second for (_, first), (_, second) in zip(*halves, strict=True)]


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret of shares by number; as many as the threshold, or another secret comes out."""
    halves = [[(number, share[half]) for number, share in shares.items()] for half in _HALVES]
    return b"".join(Shamir.combine(numbered, ssss=False) for numbered in halves)

"""A site's side of a round: Bonawitz et al. 2017, figure 4, with the steps against an active coordinator.

One object serves one round and is thrown away. The caller must not make a second one for a round that the site took
part in: two sums of the same updates over different survivors differ by single updates.
"""

import secrets
from collections.abc import Iterable, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oncotrain.errors import UserError
from oncotrain.federation.secure.fixed_point import encode
from oncotrain.federation.secure.key_list import advertised, check_key_list, digest, require_enough
from oncotrain.federation.secure.mask import add_pairwise_mask, seed_sha256, self_mask
from oncotrain.federation.secure.messages import Advertisement, Confirmation, Opening, SealedShare
from oncotrain.federation.secure.roster import sign
from oncotrain.federation.secure.sealing import exchange, seal, unseal
from oncotrain.federation.secure.session import Session
from oncotrain.federation.secure.shares import SECRET_BYTES, split
from oncotrain.federation.secure.stages import Stages
from oncotrain.federation.secure.survivors import check_confirmations, check_survivors, survived


class SecureSite:
    """`advertise`, `share`, `mask`, `confirm`, `open`: in this order, each once, and nothing after a refusal."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey, session: Session) -> None:
        """`key` is the site's long-term key. Raises UserError if the roster has none, or another, for `name`."""
        if session.roster.keys.get(name) != key.public_key():
            raise UserError(f"secure aggregation: the roster does not have this key for {name}")
        self._name, self._key, self._session = name, key, session
        self._stages = Stages("advertise", "share", "mask", "confirm", "open")
        self._cipher_key, self._mask_key = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self._seed = secrets.token_bytes(SECRET_BYTES)
        self._keys: dict[str, Advertisement] = {}
        self._shares: dict[str, bytes] = {}
        self._survivors: tuple[str, ...] = ()

    def advertise(self) -> Advertisement:
        """This site's public keys for the round, signed."""
        with self._stages.enter("advertise"):
            unsigned = Advertisement(
                site=self._name,
                cipher_key=self._cipher_key.public_key().public_bytes_raw(),
                mask_key=self._mask_key.public_key().public_bytes_raw(),
                seed_sha256=seed_sha256(self._session, self._name, self._seed),
                signature=b"",
            )
            signature = sign(self._key, advertised(self._session, unsigned))
            self._own = unsigned.model_copy(update={"signature": signature})
            return self._own

    def share(self, advertisements: Iterable[Advertisement]) -> list[SealedShare]:
        """Shares of this site's seed and mask key for every other site in the list of keys.

        Raises UserError or DataError as `check_key_list` does, and UserError if this site's own keys are not in it.
        """
        with self._stages.enter("share"):
            self._keys = check_key_list(self._session, advertisements)
            if self._keys.get(self._name) != self._own:
                raise UserError("secure aggregation: the list of keys does not have this site's own")
            threshold, count = self._session.settings.threshold, len(self._keys)
            seeds = split(self._seed, threshold, count)
            mask_keys = split(self._mask_key.private_bytes_raw(), threshold, count)
            shares = {site: seed + key for site, seed, key in zip(self._keys, seeds, mask_keys, strict=True)}
            self._shares[self._name] = shares.pop(self._name)
            return [
                seal(self._session, self._shared(site), self._name, site, digest(self._keys), share)
                for site, share in shares.items()
            ]

    def mask(self, sealed: Sequence[SealedShare], values: np.ndarray) -> np.ndarray:
        """`values` (float64, 1-D, see `weigh`) in fixed point under all masks: uint64, uniform to who lacks a mask.

        Args:
            sealed: The shares for this site, one of every site that shares a secret in this round.

        Raises UserError for a share that was changed, repeats or is another's, DataError for fewer sites than the
        threshold or values that `encode` refuses.
        """
        with self._stages.enter("mask"):
            for one in sealed:
                if one.recipient != self._name or one.sender not in self._keys or one.sender in self._shares:
                    raise UserError(f"secure aggregation: a share from {one.sender!r} is for another, or comes twice")
                share = unseal(self._session, self._shared(one.sender), digest(self._keys), one)
                if len(share) != 2 * SECRET_BYTES:
                    raise UserError(f"secure aggregation: the share from {one.sender} has another length")
                self._shares[one.sender] = share
            require_enough(self._session, self._shares, "shared secrets")
            masked = encode(values, self._session.settings)
            masked += self_mask(self._session, self._name, self._seed, len(masked))
            for other in self._shares.keys() - {self._name}:
                shared = exchange(self._mask_key, self._keys[other].mask_key, other)
                add_pairwise_mask(masked, self._session, self._name, other, shared)
            return masked

    def confirm(self, survivors: Sequence[str]) -> Confirmation:
        """This site's signature under the set of sites whose masked updates are in the sum.

        Raises UserError or DataError as `check_survivors` does, and UserError if this site is not among them.
        """
        with self._stages.enter("confirm"):
            self._survivors = check_survivors(self._session, survivors, self._shares)
            if self._name not in self._survivors:
                raise UserError("secure aggregation: this site sent its update and is not among the survivors")
            return Confirmation(site=self._name, signature=sign(self._key, self._statement()))

    def open(self, confirmations: Iterable[Confirmation]) -> Opening:
        """The shares that lift the masks from the sum: of a site's seed or of its mask key, never both.

        Which, the survivors that this site confirmed decide; nobody can ask for a share. Raises UserError or DataError
        as `check_confirmations` does.
        """
        with self._stages.enter("open"):
            check_confirmations(self._session, self._statement(), self._survivors, confirmations)
            dropped = self._shares.keys() - set(self._survivors)
            return Opening(
                site=self._name,
                seeds={site: self._shares[site][:SECRET_BYTES] for site in self._survivors},
                mask_keys={site: self._shares[site][SECRET_BYTES:] for site in sorted(dropped)},
            )

    def _shared(self, other: str) -> bytes:
        return exchange(self._cipher_key, self._keys[other].cipher_key, other)

    def _statement(self) -> bytes:
        return survived(self._session, self._keys, self._shares, self._survivors)

"""The coordinator's side of a round: it passes on what sites say and learns the sum of their vectors."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from oncotrain.errors import UserError
from oncotrain.federation.secure.fixed_point import decode
from oncotrain.federation.secure.key_list import check_key_list, require_enough
from oncotrain.federation.secure.mask import add_pairwise_mask, seed_sha256, self_mask
from oncotrain.federation.secure.messages import Advertisement, Confirmation, Opening, SealedShare
from oncotrain.federation.secure.sealing import exchange
from oncotrain.federation.secure.session import Session
from oncotrain.federation.secure.shares import combine
from oncotrain.federation.secure.stages import Stages
from oncotrain.federation.secure.survivors import check_confirmations, check_survivors, survived


class SecureSum:
    """`keys`, `route`, `add`, `agree`, `total`: in this order, each once, with the answers of the stage before.

    Sites may drop out before any stage. Each method raises DataError if fewer than the threshold are left, and
    UserError, naming the site, if one does not keep to the protocol.
    """

    def __init__(self, session: Session, length: int) -> None:
        """`length` is that of the sites' vectors."""
        self._session = session
        self._stages = Stages("keys", "route", "add", "agree", "total")
        self._sum = np.zeros(length, np.uint64)
        self._keys: dict[str, Advertisement] = {}
        self._sharers: tuple[str, ...] = ()
        self._survivors: tuple[str, ...] = ()

    def keys(self, advertisements: Iterable[Advertisement]) -> list[Advertisement]:
        """The list of keys for every site in it."""
        with self._stages.enter("keys"):
            self._keys = check_key_list(self._session, advertisements)
            return list(self._keys.values())

    def route(self, sealed: Mapping[str, Sequence[SealedShare]]) -> dict[str, list[SealedShare]]:
        """What each site that shared is to be given, from what each `sealed`."""
        with self._stages.enter("route"):
            for sender, shares in sealed.items():
                pairs = [(share.sender, share.recipient) for share in shares]
                if sorted(pairs) != [(sender, site) for site in self._keys if site != sender]:
                    raise UserError(f"secure aggregation: {sender} did not send one share to every other site")
            require_enough(self._session, sealed, "shared secrets")
            self._sharers = tuple(sorted(sealed))
            return {
                site: [share for shares in sealed.values() for share in shares if share.recipient == site]
                for site in self._sharers
            }

    def add(self, masked: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """The survivors: the sites whose masked vectors are now in the sum."""
        with self._stages.enter("add"):
            self._survivors = check_survivors(self._session, list(masked), self._sharers)
            for site, vector in masked.items():
                if vector.dtype != np.uint64 or vector.shape != self._sum.shape:
                    raise UserError(
                        f"secure aggregation: {site} sent {vector.dtype}{list(vector.shape)}; expected is "
                        f"uint64{list(self._sum.shape)}"
                    )
                self._sum += vector
            return self._survivors

    def agree(self, confirmations: Sequence[Confirmation]) -> list[Confirmation]:
        """The confirmations for every site that gave one."""
        with self._stages.enter("agree"):
            statement = survived(self._session, self._keys, self._sharers, self._survivors)
            check_confirmations(self._session, statement, self._survivors, confirmations)
            return list(confirmations)

    def total(self, openings: Sequence[Opening]) -> np.ndarray:
        """The sum of the survivors' vectors: float64, as exact as `encode` says."""
        with self._stages.enter("total"):
            dropped = sorted(set(self._sharers) - set(self._survivors))
            for opening in openings:
                complete = sorted(opening.seeds) == list(self._survivors) and sorted(opening.mask_keys) == dropped
                if opening.site not in self._survivors or not complete:
                    raise UserError(f"secure aggregation: {opening.site!r} did not open what was agreed")
            require_enough(self._session, {opening.site for opening in openings}, "opened the sum")
            for site in self._survivors:
                seed = self._combined({opening.site: opening.seeds[site] for opening in openings})
                if seed_sha256(self._session, site, seed) != self._keys[site].seed_sha256:
                    raise _wrong_share(site, openings)
                self._sum -= self_mask(self._session, site, seed, len(self._sum))
            for site in dropped:
                secret = self._combined({opening.site: opening.mask_keys[site] for opening in openings})
                key = X25519PrivateKey.from_private_bytes(secret)
                if key.public_key().public_bytes_raw() != self._keys[site].mask_key:
                    raise _wrong_share(site, openings)
                for survivor in self._survivors:  # What `site` would have brought cancels what the survivors did.
                    shared = exchange(key, self._keys[survivor].mask_key, survivor)
                    add_pairwise_mask(self._sum, self._session, site, survivor, shared)
            return decode(self._sum, self._session.settings)

    def _combined(self, shares: Mapping[str, bytes]) -> bytes:
        """The secret from the shares of as many sites as it takes."""
        numbers = {site: number for number, site in enumerate(self._keys, start=1)}
        some = sorted(shares)[: self._session.settings.threshold]
        return combine({numbers[site]: shares[site] for site in some})


def _wrong_share(owner: str, openings: Sequence[Opening]) -> UserError:
    givers = ", ".join(sorted(opening.site for opening in openings))
    return UserError(
        f"secure aggregation: a share of {owner}'s secret is wrong; it came from one of {givers}, or {owner}"
    )

"""One round of one run: what every signature, key and cipher text of it is bound to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oncotrain.config.secure_aggregation import SecureAggregation
from oncotrain.errors import UserError
from oncotrain.federation.secure.fixed_point import require_room
from oncotrain.federation.secure.roster import Roster
from oncotrain.lake.manifest import canonical_json

_PROTOCOL = "oncotrain secure aggregation 1"


@dataclass(frozen=True)
class Session:
    """What all participants of a round know before it.

    Raises UserError if the roster is too small for the threshold or too large for it or for the sum.
    """

    run: str
    round: int
    roster: Roster
    settings: SecureAggregation
    asked: str = ""
    """Fingerprint of what the sites were asked: parameters made for one site alone could make the sum that site's
    update (Pasquini et al., Eluding secure aggregation in federated learning via model inconsistency, CCS 2022)."""

    def __post_init__(self) -> None:
        sites, threshold = len(self.roster.keys), self.settings.threshold
        if not threshold <= sites < 2 * threshold:
            raise UserError(
                f"secure_aggregation.threshold is {threshold} with {sites} sites on the roster; allowed are "
                f"{max(2, sites // 2 + 1)} to {sites}: with half of the sites or fewer, two groups could be shown "
                "different survivors"
            )
        require_room(self.settings, sites)

    def statement(self, what: str, **content: Any) -> bytes:
        """Bytes that say `what` and `content` (JSON) in this round and in no other."""
        bound = {"run": self.run, "round": self.round, "roster": self.roster.sha256, "asked": self.asked}
        settings = self.settings.model_dump(mode="json")
        return canonical_json(
            {"protocol": _PROTOCOL, "session": bound, "settings": settings, "what": what, "content": content}
        )

    def derive(self, secret: bytes, what: str, **content: Any) -> bytes:
        """A key of 32 bytes for one purpose: HKDF with SHA-256 over `secret` and the statement of that purpose."""
        return HKDF(hashes.SHA256(), length=32, salt=None, info=self.statement(what, **content)).derive(secret)


def fingerprint(parameters: Sequence[np.ndarray], step: int) -> str:
    """SHA-256 of the parameters, with dtypes and shapes, and the step from which sites were asked to train."""
    digest = hashlib.sha256(canonical_json([step, [[array.dtype.str, array.shape] for array in parameters]]))
    for array in parameters:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

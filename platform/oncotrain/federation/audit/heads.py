"""Signed heads of audit chains: ECDSA over P-384 with SHA-384 (FIPS 186-5), by keys of `federation.identity`.

A key goes with one chain: whoever starts a chain anew makes a new key, or is taken for somebody who rewrote it.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from oncotrain.config import Frozen
from oncotrain.federation.identity.keys import PrivateKey, PublicKey, fingerprint, load_private_key
from oncotrain.lake.audit import Head
from oncotrain.lake.manifest import canonical_json

HEAD = "head"
"""Key of a message's body under which the sender's signed head travels, as JSON text."""
_PURPOSE = "oncotrain audit head"
"""Signed with every head, so that no other use of a key yields one."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class SignedHead(Frozen):
    """A chain's head and the signature of who keeps the chain."""

    site: str = Field(max_length=200)
    """Whose chain."""
    number: int = Field(ge=0, lt=2**53)
    sha256: Sha256
    key: Sha256
    """Fingerprint of the key that signed."""
    signature: str = Field(max_length=200)
    """DER in Base64."""

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the owner of `key` signed this."""
        if self.key != fingerprint(key):
            return False
        try:
            signature = base64.b64decode(self.signature, validate=True)
            key.verify(signature, _signed(self.model_dump(exclude={"signature"})), ec.ECDSA(hashes.SHA384()))
        except (ValueError, InvalidSignature):
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """Signs the heads of the chain of `site`."""

    site: str
    key: PrivateKey

    @classmethod
    def load(cls, site: str, path: Path) -> Self:
        """With the private key in `path`, as `make_site_key` writes it. Raises UserError if it holds none."""
        return cls(site, load_private_key(path))

    def sign(self, head: Head) -> SignedHead:
        """The signed head."""
        claim = {**head._asdict(), "site": self.site, "key": fingerprint(self.key.public_key())}
        signature = self.key.sign(_signed(claim), ec.ECDSA(hashes.SHA384()))
        return SignedHead(**claim, signature=base64.b64encode(signature).decode())


def _signed(claim: dict[str, Any]) -> bytes:
    return canonical_json({"purpose": _PURPOSE, **claim})

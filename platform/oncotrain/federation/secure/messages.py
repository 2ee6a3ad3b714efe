"""What sites and coordinator tell each other in a round; as JSON, bytes are hexadecimal."""

from typing import Annotated, Any

from annotated_types import Len
from pydantic import BeforeValidator, PlainSerializer

from oncotrain.config.load import Frozen


def _from_hex(value: Any) -> Any:
    return bytes.fromhex(value) if isinstance(value, str) else value


Hex = Annotated[bytes, BeforeValidator(_from_hex), PlainSerializer(bytes.hex, when_used="json")]
Hex32 = Annotated[Hex, Len(32, 32)]


class Advertisement(Frozen):
    """A site's keys for one round."""

    site: str
    cipher_key: Hex32
    """X25519, public: others encrypt shares for this site."""
    mask_key: Hex32
    """X25519, public: makes the masks that cancel between two sites."""
    seed_sha256: Hex32
    """Commits the site to the seed of its own mask, so that a wrong share of it is noticed."""
    signature: Hex


class SealedShare(Frozen):
    """`sender`'s two shares for `recipient`: nonce and cipher text."""

    sender: str
    recipient: str
    content: Hex


class Confirmation(Frozen):
    """`site` saw these survivors."""

    site: str
    signature: Hex


class Opening(Frozen):
    """The shares that `site` gives away: of the survivors' seeds, and of the mask keys of those that dropped out."""

    site: str
    seeds: dict[str, Hex32]
    mask_keys: dict[str, Hex32]

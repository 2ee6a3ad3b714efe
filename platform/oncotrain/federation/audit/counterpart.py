"""A chain held against the heads of it that the other side kept: finds what a chain alone cannot show."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from oncotrain.errors import DataError
from oncotrain.federation.audit.heads import SignedHead
from oncotrain.federation.audit.witness import witnessed
from oncotrain.federation.identity.keys import PublicKey
from oncotrain.federation.identity.rotation import linked_keys
from oncotrain.lake.audit import chain_path, read, verify
from oncotrain.lake.filesystem import Lake


class Kept(NamedTuple):
    """A head that the other side keeps, and where."""

    head: SignedHead
    place: str


def verify_against(lake: Lake, site: str, other: Lake, key: PublicKey | None = None) -> list[Kept]:
    """Find every head of the chain of `site` that any chain of `other` keeps at its number in the chain in `lake`.

    With `key`, signatures are checked, and heads of other keys (of another federation, say) are left out, but for keys
    that lines of the chain hand over to or from `key`.

    Returns:
        The heads, by number.

    Raises:
        DataError: A chain is broken, its tail was cut, or it was rewritten: which line. Or no head is kept.
    """
    verify(lake, site)
    keys = linked_keys(site, read(lake, site), key) if key else None
    kept = sorted(_kept(other, site, keys), key=lambda each: each.head.number)
    if not kept:
        raise DataError(f"{other.uri}: keeps no head of the audit of {site}{' by this key' if key else ''}")
    path, lines, agreed = chain_path(lake, site), read(lake, site), 0
    for head, place in kept:
        if head.number >= len(lines):
            raise DataError(
                f"{path}: its tail was cut after line {len(lines)}; {place} keeps the head of line {head.number + 1}"
            )
        if lines[head.number]["sha256"] != head.sha256:
            raise DataError(
                f"{path}: was rewritten from a line on that is between {agreed + 1} and {head.number + 1}; "
                f"{place} keeps another head of line {head.number + 1}"
            )
        agreed = head.number + 1
    return kept


def _kept(lake: Lake, site: str, keys: Mapping[str, PublicKey] | None) -> Iterator[Kept]:
    """Raises DataError if a chain of `lake` is broken, or a head is not signed as it says."""
    chains = [name.removesuffix(".jsonl") for name in lake.list("audit") if name.endswith(".jsonl")]
    for chain in chains:
        verify(lake, chain)
        for number, head in witnessed(site, read(lake, chain)):
            kept = Kept(head, f"{chain_path(lake, chain)}, line {number + 1},")
            if keys is None:
                yield kept
            elif head.key in keys:
                if not head.is_signed_by(keys[head.key]):
                    raise DataError(f"{kept.place} keeps a head that is not signed by the key it names")
                yield kept

"""One side's memory of the other side's audit chain: it may grow, never shrink or change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from oncotrain.errors import DataError
from oncotrain.federation.audit.heads import SignedHead
from oncotrain.federation.identity.keys import PublicKey

WITNESSED = "witnessed"
"""Key of an event under which the other side's head is kept."""


class BrokenChainError(DataError):
    """The other side's chain was cut or rewritten, or its head is not signed by who should have."""

    def __init__(self, message: str, head: SignedHead | None = None) -> None:
        super().__init__(message)
        self.head = head
        """What came, where it was a head: signed, it is evidence."""


class Witness:
    """Takes the heads of the chain of `site` as they come with its messages.

    `lines` is this side's own chain, which remembers the heads of earlier runs. Where the other side's public `key`
    is known, every message must bring a head signed by it. A chain that was cut or rewritten is refused from then on,
    also once it has grown beyond what was seen of it; `verify_against` finds one that grew in between.
    """

    def __init__(self, site: str, lines: Iterable[Mapping[str, Any]], key: PublicKey | None = None) -> None:
        self.site, self.key = site, key
        self._highest: dict[str, SignedHead] = {}
        self._caught = ""
        for _, head in witnessed(site, lines):
            self._remember(head)

    def take(self, text: Any) -> SignedHead | None:
        """The head in a message's body, to be kept in this side's chain; None where none came and none is due.

        Raises BrokenChainError if it is missing, not signed by the known key, of a lower number than one seen before,
        or another head of the same number. Two messages of one number have one head where a reply was lost.
        """
        if text is None and self.key is None:
            return None
        head = self._parse(text)
        if self.key is not None and not head.is_signed_by(self.key):
            raise BrokenChainError(f"the head of {self.site}'s audit is not signed with the key known for it", head)
        self._caught = self._caught or self._contradiction(head)
        if self._caught:
            raise BrokenChainError(self._caught, head)
        self._remember(head)
        return head

    def _contradiction(self, head: SignedHead) -> str:
        """How a head contradicts those before it, if it does."""
        before = self._highest.get(head.key)
        if before is not None and head.number < before.number:
            return f"{self.site}'s audit has {head.number + 1} lines and had {before.number + 1}: its tail was cut"
        if before is not None and head.number == before.number and head.sha256 != before.sha256:
            return f"line {head.number + 1} of {self.site}'s audit was another one: rewritten"
        return ""

    def _parse(self, text: Any) -> SignedHead:
        if text is None:
            raise BrokenChainError(f"no head of {self.site}'s audit came with the message")
        try:
            head = SignedHead.model_validate_json(text)
        except (ValidationError, TypeError):
            raise BrokenChainError(f"what came as the head of {self.site}'s audit is none") from None
        if head.site != self.site:
            raise BrokenChainError(f"a head of another chain came as that of {self.site}'s audit", head)
        return head

    def _remember(self, head: SignedHead) -> None:
        before = self._highest.get(head.key)
        if before is None or head.number >= before.number:
            self._highest[head.key] = head


def witnessed(site: str, lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, SignedHead]]:
    """The heads of `site` that a chain keeps, each with the number of the line that does.

    Raises DataError if one is none.
    """
    for line in lines:
        kept = line["event"].get(WITNESSED)
        if kept is None:
            continue
        try:
            head = SignedHead.model_validate(kept)
        except ValidationError:
            raise DataError(f"line {line['number'] + 1} of {line['site']}'s audit keeps what is no head") from None
        if head.site == site:
            yield line["number"], head

"""The audit of the coordinator: one line for each message sent and each reply received, heads exchanged with sites.

A message's line is written before it is sent, and the head after the lines of a round's messages travels in each of
their bodies: sites hold no head of the replies to a run's last message before the next run. A reply's line keeps the
site's signed head that came with it. Model in and out are as the site sees them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from oncotrain.errors import UserError
from oncotrain.federation.audit.digest import Digest, digest, run_and_round, whole_number
from oncotrain.federation.audit.heads import SignedHead, Signer
from oncotrain.federation.audit.witness import WITNESSED, BrokenChainError, Witness
from oncotrain.federation.identity.keys import COORDINATOR, PublicKey
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal, name_of
from oncotrain.lake.audit import append, read, verify
from oncotrain.lake.filesystem import Lake


class CoordinatorAccount:
    """Notes what a run exchanges with `sites`, in the chain `coordinator` of the coordinator's lake.

    Raises UserError if a site is called like that chain, DataError if the chain is broken. Without a `signer` no head
    leaves; a site whose public key is known must sign its own.
    """

    def __init__(
        self, lake: Lake, sites: Iterable[str], signer: Signer | None, public_keys: Mapping[str, PublicKey]
    ) -> None:
        verify(lake, COORDINATOR)
        self.lake, self.signer = lake, signer
        lines = read(lake, COORDINATOR)
        self._witnesses = {site: Witness(site, lines, public_keys.get(site)) for site in sites}
        if COORDINATOR in self._witnesses:
            raise UserError(f"site {COORDINATOR!r}: the coordinator's own audit has this name; give the site another")

    def send(self, kind: str, requests: Mapping[str, Parcel]) -> str | None:
        """Append a line for each site's request; the signed head after them, to travel with all, as JSON text."""
        digests: dict[int, Digest] = {}
        head = None
        for site, request in requests.items():
            if id(request) not in digests:  # the same model goes to every site
                digests[id(request)] = digest(request)
            down = digests[id(request)]
            figures = {
                "bytes_down": down.bytes,
                "request_sha256": down.sha256,
                "model_in_sha256": down.model_sha256,
            }
            head = append(self.lake, COORDINATOR, {**_message("send", site, kind, request), **figures})
        return self.signer.sign(head).model_dump_json() if self.signer and head else None

    def receive(self, site: str, kind: str, request: Parcel, reply: Parcel, head: Any) -> None:
        """Append the line of a site's reply.

        Raises BrokenChainError, which is in the line, if `head` shows that the site's chain was cut or rewritten, or
        if it is not signed as it must be.
        """
        up = digest(reply)
        event = {
            **_message("receive", site, kind, request),
            "rows": whole_number(reply.body.get("rows", 0)),
            "bytes_up": up.bytes,
            "reply_sha256": up.sha256,
            "model_out_sha256": up.model_sha256,
        }
        try:
            heard = self._witnesses[site].take(head)
        except BrokenChainError as error:
            refused = {"refusal": _refusal(Refusal.AUDIT), "refused_head": _dump(error.head)}
            append(self.lake, COORDINATOR, {**event, **refused})
            raise
        append(self.lake, COORDINATOR, {**event, "refusal": None, WITNESSED: _dump(heard)})

    def receive_refusal(self, site: str, kind: str, request: Parcel, code: int) -> None:
        """Append the line of a refusal, which has neither content nor head."""
        append(
            self.lake,
            COORDINATOR,
            {**_message("receive", site, kind, request), "bytes_up": 0, "refusal": _refusal(code)},
        )


def _message(action: str, site: str, kind: str, request: Parcel) -> dict[str, Any]:
    return {"action": action, "site": site, "kind": kind, **run_and_round(request)}


def _refusal(code: int) -> dict[str, Any]:
    return {"code": int(code), "name": name_of(code)}


def _dump(head: SignedHead | None) -> dict[str, Any] | None:
    return head.model_dump() if head else None

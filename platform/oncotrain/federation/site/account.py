"""The audit of a site's worker: one line for each answer, refusals too, and heads exchanged with the coordinator.

The line is written first. Its head then travels in the answer's body, outside what the line's hashes cover, so that
the coordinator holds a head of every answer it got, the last one too. A refusal has no body: its line is covered by
the head of the next answer.
"""

from typing import Any

from oncotrain.errors import DataError, UserError
from oncotrain.federation.audit.app_hash import app_sha256
from oncotrain.federation.audit.digest import digest, run_and_round
from oncotrain.federation.audit.heads import HEAD, SignedHead, Signer
from oncotrain.federation.audit.witness import WITNESSED, BrokenChainError, Witness
from oncotrain.federation.identity.keys import COORDINATOR, PublicKey
from oncotrain.federation.site.budget import BudgetError
from oncotrain.federation.site.policy import PolicyError
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import append, read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import Manifest
from oncotrain.training.engines import RankLost


class SiteAccount:
    """Notes what one worker answers. Raises DataError if the site's chain is broken.

    Without a `signer` no head leaves; without the coordinator's public key its heads are kept, not checked against it.
    """

    def __init__(
        self, site: str, lake: Lake, dataset: Manifest, signer: Signer | None, coordinator_key: PublicKey | None
    ) -> None:
        verify(lake, site)
        self.site, self.lake, self.signer = site, lake, signer
        self.dataset = {"name": dataset.name, "version": dataset.version, "sha256": dataset.sha256}
        self._app_sha256 = app_sha256()
        self._witness = Witness(COORDINATOR, read(lake, site), coordinator_key)

    def trained_rounds(self) -> set[tuple[str, int]]:
        """Run and round of everything that this site has trained, in whichever process."""
        events = [line["event"] for line in read(self.lake, self.site)]
        return {(event["run"], event["round"]) for event in events if event.get("kind") == "train"}

    def hear(self, request: Parcel) -> SignedHead | None:
        """The coordinator's head in a request. Raises BrokenChainError as `Witness.take` does."""
        return self._witness.take(request.body.get(HEAD))

    def note(self, kind: str, request: Parcel, reply: Parcel, heard: SignedHead | None) -> dict[str, Any]:
        """Append the line of an answer; returns what joins the answer's body: the chain's head, signed."""
        head = append(self.lake, self.site, self._event(kind, request, reply, heard))
        return {HEAD: self.signer.sign(head).model_dump_json()} if self.signer else {}

    def note_refusal(
        self, kind: str, request: Parcel, reply: Parcel, heard: SignedHead | None, error: Exception
    ) -> None:
        """Append the line of a request that was refused for `error`, with the head that was, if one was."""
        refusal = refusal_of(error)
        refused = error.head.model_dump() if isinstance(error, BrokenChainError) and error.head else None
        event = self._event(kind, request, reply, heard)
        event |= {"refusal": {"code": int(refusal), "name": refusal.name}, "refused_head": refused}
        append(self.lake, self.site, event)

    def _event(self, kind: str, request: Parcel, reply: Parcel, heard: SignedHead | None) -> dict[str, Any]:
        down, up = digest(request), digest(reply)
        return {
            "action": "federate",
            "kind": kind,
            **run_and_round(request),
            "rows": reply.body.get("rows", 0),
            "dataset": self.dataset,
            "bytes_down": down.bytes,
            "bytes_up": up.bytes,
            "request_sha256": down.sha256,
            "reply_sha256": up.sha256,
            "model_in_sha256": down.model_sha256,
            "model_out_sha256": up.model_sha256,
            "app_sha256": self._app_sha256,
            "dp": {"epsilon": reply.body["epsilon"]} if "epsilon" in reply.body else None,
            "refusal": None,
            WITNESSED: heard.model_dump() if heard else None,
        }


def refusal_of(error: Exception) -> Refusal:
    """What leaves the site of an exception."""
    match error:
        case BrokenChainError():
            return Refusal.AUDIT
        case PolicyError():
            return Refusal.POLICY
        case BudgetError():
            return Refusal.PRIVACY_BUDGET
        case DataError():
            return Refusal.DATA
        case UserError():
            return Refusal.CONFIGURATION
        case RankLost():
            return Refusal.RANK
        case _:
            return Refusal.FAILED

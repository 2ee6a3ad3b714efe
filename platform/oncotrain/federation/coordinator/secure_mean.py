"""The coordinator's messages of one round of secure aggregation, after the sites have trained."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from oncotrain.config import parse
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.secure.contribution import average, contribution_length
from oncotrain.federation.secure.coordinator import SecureSum
from oncotrain.federation.secure.messages import Advertisement, Confirmation, Opening, SealedShare
from oncotrain.federation.secure.session import Session
from oncotrain.federation.wire.parcel import Parcel


class SecureMean(NamedTuple):
    """What the coordinator learns of a round."""

    parameters: list[np.ndarray]
    """Weighted mean."""
    loss: float
    """Weighted mean, NaN if no site has one."""
    weight: float
    """Sum of the sites' weights, to quantization."""
    sites: tuple[str, ...]
    """Whose contributions are in it."""


def secure_mean(
    sites: Sites, session: Session, trained: Mapping[str, Parcel], before: Sequence[np.ndarray]
) -> "SecureMean":
    """The mean over the sites whose masked contributions came.

    Args:
        trained: Answers to the round's training, by site; each brings the site's keys.
        before: The parameters that the sites trained from.

    Raises DataError if fewer than the threshold are left, UserError if one does not keep to the protocol.
    """
    coordinator = SecureSum(session, contribution_length(before))

    def ask(stage: str, bodies: Mapping[str, Mapping[str, object]]) -> dict[str, Parcel]:
        parcels = {site: Parcel({"round": session.round, **body}) for site, body in bodies.items()}
        return sites.ask_each(f"query.secagg_{stage}", parcels)

    keys = coordinator.keys([parse(Advertisement, answer.body["keys"], site) for site, answer in trained.items()])
    sharing = ask("share", {site: {"keys": _json(keys)} for site in trained})
    sealed = {
        site: [parse(SealedShare, one, site) for one in answer.body["shares"]] for site, answer in sharing.items()
    }
    routed = coordinator.route(sealed)
    masking = ask("mask", {site: {"shares": _json(shares)} for site, shares in routed.items()})
    survivors = coordinator.add({site: answer.sums["masked"] for site, answer in masking.items()})
    confirming = ask("confirm", {site: {"survivors": survivors} for site in survivors})
    confirmations = coordinator.agree(
        [parse(Confirmation, answer.body["confirmation"], site) for site, answer in confirming.items()]
    )
    opening = ask("open", {site: {"confirmations": _json(confirmations)} for site in confirming})
    openings = [parse(Opening, answer.body["opening"], site) for site, answer in opening.items()]
    total = coordinator.total(openings)
    return SecureMean(*average(total, before), float(total[-1]), survivors)


def _json(messages: Sequence[BaseModel]) -> list[dict[str, object]]:
    return [message.model_dump(mode="json") for message in messages]

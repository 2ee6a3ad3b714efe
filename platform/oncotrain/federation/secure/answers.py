"""A site's part in a run with secure aggregation: what its worker answers after each round's training."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from oncotrain.config import parse
from oncotrain.config.secure_aggregation import SecureAggregation
from oncotrain.errors import UserError
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.secure.messages import Advertisement, Confirmation, SealedShare
from oncotrain.federation.secure.session import Session
from oncotrain.federation.secure.site import SecureSite
from oncotrain.federation.wire.parcel import Parcel


class SecureAnswers:
    """One `SecureSite` a round; rounds only go on, in one run, so that none is summed twice over different sites.

    Not by another process either: `before` are the rounds (run, number) that the site's audit knows already.
    """

    def __init__(
        self, site: str, credentials: Credentials, settings: SecureAggregation, before: Collection[tuple[str, int]]
    ) -> None:
        self._site, self._credentials, self._settings, self._before = site, credentials, settings, before
        self._run, self._round = "", 0
        self._current: SecureSite | None = None
        self._values = np.zeros(0)

    def require_new(self, run: str, number: int) -> None:
        """Raise UserError unless round `number` comes after all that this site took part in, in the same run."""
        if (run, number) in self._before:
            raise UserError(
                f"secure aggregation: round {number} of {run} was answered before this client was started again; a "
                "round is summed once"
            )
        if self._run not in ("", run) or number <= self._round:
            raise UserError(
                f"secure aggregation: asked for round {number} of {run} after round {self._round} of {self._run}; a "
                "round is summed once"
            )

    def begin(self, run: str, number: int, asked: str, values: np.ndarray) -> Parcel:
        """Keep this round's contribution; the answer is the site's keys.

        Args:
            asked: Fingerprint of what the site was asked to do.
            values: See `contribution`.
        """
        self.require_new(run, number)
        self._run, self._round, self._values = run, number, values
        session = Session(run, number, self._credentials.roster, self._settings, asked)
        self._current = SecureSite(self._site, self._credentials.key, session)
        return Parcel({"keys": self._current.advertise().model_dump(mode="json")})

    def answers(self) -> Mapping[str, Callable[[Parcel], Parcel]]:
        """What is answered to each kind of message."""
        return {
            "secagg_share": self._share,
            "secagg_mask": self._mask,
            "secagg_confirm": self._confirm,
            "secagg_open": self._open,
        }

    def _share(self, request: Parcel) -> Parcel:
        keys = [parse(Advertisement, one, "secagg_share") for one in request.body["keys"]]
        return Parcel({"shares": [one.model_dump(mode="json") for one in self._site_of(request).share(keys)]})

    def _mask(self, request: Parcel) -> Parcel:
        shares = [parse(SealedShare, one, "secagg_mask") for one in request.body["shares"]]
        return Parcel(sums={"masked": self._site_of(request).mask(shares, self._values)})

    def _confirm(self, request: Parcel) -> Parcel:
        survivors = [str(site) for site in request.body["survivors"]]
        return Parcel({"confirmation": self._site_of(request).confirm(survivors).model_dump(mode="json")})

    def _open(self, request: Parcel) -> Parcel:
        confirmations = [parse(Confirmation, one, "secagg_open") for one in request.body["confirmations"]]
        return Parcel({"opening": self._site_of(request).open(confirmations).model_dump(mode="json")})

    def _site_of(self, request: Parcel) -> SecureSite:
        if self._current is None or (request.body["run"], request.body["round"]) != (self._run, self._round):
            raise UserError("secure aggregation: asked about a round that this site is not in")
        return self._current


def secure_answers(
    site: str,
    settings: SecureAggregation | None,
    credentials: Credentials | None,
    source: str,
    before: Collection[tuple[str, int]],
) -> SecureAnswers | None:
    """None where a run's configuration does not ask for it. Raises UserError if it does and credentials lack."""
    if settings is None:
        return None
    if credentials is None:
        raise UserError(f"{source}: federated.secure_aggregation needs the roster and the consortium's public key")
    return SecureAnswers(site, credentials, settings, before)

"""Who is in the sum: a set that enough sites must have signed before anybody opens a mask."""

from collections.abc import Iterable, Mapping, Sequence

from oncotrain.errors import UserError
from oncotrain.federation.secure.key_list import digest, require_enough
from oncotrain.federation.secure.messages import Advertisement, Confirmation
from oncotrain.federation.secure.roster import is_signed
from oncotrain.federation.secure.session import Session


def survived(
    session: Session, keys: Mapping[str, Advertisement], sharers: Iterable[str], survivors: Iterable[str]
) -> bytes:
    """What a site signs: everything it was shown so far, so that sites shown different things do not agree."""
    return session.statement("survivors", keys=digest(keys), sharers=sorted(sharers), survivors=sorted(survivors))


def check_survivors(session: Session, survivors: Sequence[str], sharers: Iterable[str]) -> tuple[str, ...]:
    """The survivors, sorted. Raises UserError for a repeated or unknown one, DataError for fewer than the threshold."""
    if len(set(survivors)) < len(survivors):
        raise UserError("secure aggregation: a site comes twice among the survivors")
    strangers = sorted(set(survivors) - set(sharers))
    if strangers:
        raise UserError(f"secure aggregation: {', '.join(strangers)} among the survivors shared no secrets")
    require_enough(session, survivors, "sent masked updates")
    return tuple(sorted(survivors))


def check_confirmations(
    session: Session, statement: bytes, survivors: Iterable[str], confirmations: Iterable[Confirmation]
) -> tuple[str, ...]:
    """The sites that signed `statement`.

    Raises UserError for a confirmation that repeats, is no survivor's, or has no signature of that site under this
    very statement; DataError for fewer than the threshold.
    """
    confirmed: list[str] = []
    for confirmation in confirmations:
        site = confirmation.site
        if site not in set(survivors) or site in confirmed:
            raise UserError(f"secure aggregation: {site!r} confirms the survivors twice, or is none of them")
        if not is_signed(session.roster.keys[site], confirmation.signature, statement):
            raise UserError(f"secure aggregation: {site} did not sign the set of survivors that was shown here")
        confirmed.append(site)
    require_enough(session, confirmed, "confirmed the survivors")
    return tuple(confirmed)

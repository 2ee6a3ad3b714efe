"""The keys of a round, checked against the roster by everyone who is given them."""

import hashlib
from collections.abc import Iterable, Mapping

from oncotrain.errors import DataError, UserError
from oncotrain.federation.secure.messages import Advertisement
from oncotrain.federation.secure.roster import is_signed
from oncotrain.federation.secure.session import Session
from oncotrain.lake.manifest import canonical_json


def advertised(session: Session, advertisement: Advertisement) -> bytes:
    """What a site signs when it makes its keys known."""
    return session.statement("keys", **advertisement.model_dump(mode="json", exclude={"signature"}))


def check_key_list(session: Session, advertisements: Iterable[Advertisement]) -> dict[str, Advertisement]:
    """Advertisements by site, in the order of names.

    Raises UserError for a site that is not on the roster or comes twice, a signature that is not the site's for this
    round, or a key that comes twice; DataError for fewer sites than the threshold.
    """
    keys: dict[str, Advertisement] = {}
    for advertisement in sorted(advertisements, key=lambda one: one.site):
        site = advertisement.site
        if site not in session.roster.keys:
            raise UserError(f"secure aggregation: {site!r} is not on the roster")
        if site in keys:
            raise UserError(f"secure aggregation: {site} comes twice in the list of keys")
        if not is_signed(session.roster.keys[site], advertisement.signature, advertised(session, advertisement)):
            raise UserError(
                f"secure aggregation: the keys of {site} do not have its signature for run {session.run}, round "
                f"{session.round}"
            )
        keys[site] = advertisement
    public = [key for one in keys.values() for key in (one.cipher_key, one.mask_key)]
    if len(set(public)) < len(public):
        raise UserError("secure aggregation: a key comes twice in the list of keys; each has one purpose at one site")
    require_enough(session, keys, "advertised keys")
    return keys


def digest(keys: Mapping[str, Advertisement]) -> str:
    """SHA-256 of a checked key list."""
    return hashlib.sha256(canonical_json([one.model_dump(mode="json") for one in keys.values()])).hexdigest()


def require_enough(session: Session, sites: Iterable[str], did: str) -> None:
    """Raise DataError if fewer `sites` than the threshold `did` something."""
    names = sorted(sites)
    if len(names) < session.settings.threshold:
        raise DataError(
            f"secure aggregation, round {session.round}: {len(names)} sites {did} ({', '.join(names) or 'none'}); the "
            f"threshold is {session.settings.threshold}"
        )

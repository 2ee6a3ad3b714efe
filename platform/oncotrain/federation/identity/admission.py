"""Who may join: one public key a site in the coordinator's folder, looked at by the server while it runs."""

from collections.abc import Mapping
from pathlib import Path

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import (
    COORDINATOR,
    PublicKey,
    fingerprint,
    load_public_key,
    openssh,
    require_own_keys,
)
from oncotrain.federation.identity.private_file import write_private
from oncotrain.lake.names import require_slug

_SUFFIX = ".key.pub"


def admitted(work: Path) -> dict[str, PublicKey]:
    """The public key of each site that may join, ``sites/<site>.key.pub`` in the folder `work`.

    Raises UserError naming a file that holds no such key, and two sites with one key.
    """
    files = sorted(_folder(work).glob(f"*{_SUFFIX}"))
    keys = {_name(file.name.removesuffix(_SUFFIX)): load_public_key(file) for file in files}
    require_own_keys(keys, str(_folder(work)))
    return keys


def admit(work: Path, site: str, public_key: Path) -> PublicKey:
    """Let `site` join with this key from now on, instead of the key that it had; returns the key.

    Raises UserError for a name or a file that is none, and for a key that another site has or that was removed: the
    server never takes a key again that it has shut out.
    """
    key = load_public_key(public_key)
    if _retired(work, key).exists():
        raise UserError(f"{public_key}: this key was removed once and is never admitted again; {site} makes another")
    before = admitted(work)
    require_own_keys({**before, _name(site): key}, str(public_key))
    if site in before and fingerprint(before[site]) != fingerprint(key):
        _retire(work, site, before[site])
    _write(_file(work, site), site, key)
    return key


def remove(work: Path, site: str) -> None:
    """Shut `site` out for good with the key it has; a server that runs does so within seconds.

    Raises UserError if it was not admitted.
    """
    before = admitted(work)
    if site not in before:
        raise UserError(f"{site!r} is not admitted; admitted are: {', '.join(before) or 'none'}")
    _retire(work, site, before[site])
    _file(work, site).unlink()


def as_lines(keys: Mapping[str, PublicKey]) -> dict[str, str]:
    """Public keys as text, to be compared and kept."""
    return {site: openssh(key) for site, key in keys.items()}


def _name(site: str) -> str:
    if require_slug("site", site) == COORDINATOR:
        raise UserError(f"site {COORDINATOR!r}: the coordinator's own audit has this name; give the site another")
    return site


def _folder(work: Path) -> Path:
    return work / "sites"


def _file(work: Path, site: str) -> Path:
    return _folder(work) / f"{site}{_SUFFIX}"


def _retired(work: Path, key: PublicKey) -> Path:
    return _folder(work) / "removed" / f"{fingerprint(key)}.pub"


def _retire(work: Path, site: str, key: PublicKey) -> None:
    _write(_retired(work, key), site, key)


def _write(file: Path, site: str, key: PublicKey) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, f"{openssh(key)} {site}\n".encode())

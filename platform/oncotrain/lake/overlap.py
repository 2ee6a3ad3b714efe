"""Patients who are present at two sites, found before splits are made: by a key of the study that only sites hold.

Each site turns its patients' identifiers into tokens, HMAC-SHA256 under the study's key; equal identifiers, such as a
national number, give equal tokens. Who compares the tokens learns how many patients two sites share and nothing of
anyone; without the key no token can be recomputed from a guessed identifier (RFC 2104).
"""

import csv
import hashlib
import hmac
import itertools
import json
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from oncotrain.config import Frozen
from oncotrain.config.load import parse
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pseudonym import KEY_BYTES


class SiteTokens(Frozen):
    """What a site hands over: JSON."""

    site: str
    tokens: tuple[str, ...]
    """64 hexadecimal digits each, sorted; one a patient."""


def make_study_key(path: Path) -> None:
    """Draw the study's key into a new file, mode 0600, for the sites alone. Raises UserError if it exists."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); a study has one key") from None
    path.write_bytes(secrets.token_bytes(KEY_BYTES))


def read_study_key(path: Path) -> bytes:
    """Raises UserError if the file cannot be read, others may read it, or it is no key."""
    try:
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if mode & 0o077:
        raise UserError(f"{path}: others may read it; type: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise UserError(f"{path}: holds {len(key)} bytes; a study's key has {KEY_BYTES}")
    return key


def site_tokens(lake: Lake, site: str, key: bytes) -> SiteTokens:
    """Tokens of all patients that the site's ingests have met. Raises DataError if there are none."""
    return SiteTokens(site=site, tokens=tuple(sorted(_patients(lake, key))))


def read_tokens(path: Path) -> SiteTokens:
    """Raises UserError if it is not a site's tokens."""
    try:
        return parse(SiteTokens, json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is not a site's tokens ({type(error).__name__})") from None


def shared_tokens(sites: Sequence[SiteTokens]) -> dict[tuple[str, str], list[str]]:
    """Tokens that two sites share, by pair of sites that share any. Raises UserError for one site twice."""
    names = [one.site for one in sites]
    if len(set(names)) < len(names):
        raise UserError(f"a site is given twice; found: {', '.join(sorted(names))}")
    pairs = itertools.combinations(sorted(sites, key=lambda one: one.site), 2)
    found = {(one.site, other.site): sorted(set(one.tokens) & set(other.tokens)) for one, other in pairs}
    return {pair: tokens for pair, tokens in found.items() if tokens}


def pseudonyms_of(lake: Lake, key: bytes, tokens: Sequence[str]) -> list[str]:
    """The site's own pseudonyms of the patients behind `tokens`, sorted: what to leave out of one of the two sites."""
    patients = _patients(lake, key)
    return sorted(patients[token] for token in tokens if token in patients)


def _patients(lake: Lake, key: bytes) -> dict[str, str]:
    """Token -> pseudonym."""
    place = ("landing", "pseudonyms.csv")
    lines = list(csv.reader(lake.read_text(*place).splitlines())) if lake.exists(*place) else []
    patients = {_token(key, identifier): made for kind, made, identifier in lines[1:] if kind == "patient"}
    if not patients:
        raise DataError(f"{lake.path(*place)}: names no patient; ingest first")
    return patients


def _token(key: bytes, identifier: str) -> str:
    """Spelling aside: letters and digits alone, capital, in one Unicode form."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", identifier).upper() if letter.isalnum())
    return hmac.digest(key, f"patient\0{plain}".encode(), hashlib.sha256).hex()

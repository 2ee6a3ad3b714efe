"""A roster that the consortium signed, and nothing else."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import make_site_key
from oncotrain.federation.secure.roster import make_roster, read_roster
from support.secure import key_of, openssh

SITES = ("aachen", "basel", "delft")
CONSORTIUM = key_of("consortium").public_key()


def content() -> bytes:
    return make_roster({name: openssh(key_of(name)) for name in SITES}, key_of("consortium"))


def changed(**sites: str) -> bytes:
    document = json.loads(content())
    return json.dumps({**document, "sites": {**document["sites"], **sites}}).encode()


def test_names_and_keys_come_back():
    roster = read_roster(content(), CONSORTIUM, "roster.json")
    assert roster.keys == {name: key_of(name).public_key() for name in SITES}


def test_the_keys_that_make_site_key_writes_with_their_comments(tmp_path):
    make_site_key(tmp_path, "aachen")
    make_site_key(tmp_path, "basel")
    files = {name: (tmp_path / f"{name}.key.pub").read_bytes() for name in ("aachen", "basel")}
    assert read_roster(make_roster(files, key_of("consortium")), CONSORTIUM, "r").keys.keys() == files.keys()


def test_another_order_of_the_same_sites_is_the_same_roster():
    reordered = {name: openssh(key_of(name)) for name in reversed(SITES)}
    one = read_roster(make_roster(reordered, key_of("consortium")), CONSORTIUM, "r")
    assert one.sha256 == read_roster(content(), CONSORTIUM, "r").sha256


@pytest.mark.parametrize(
    "sites", [{"invented": openssh(key_of("x")).decode()}, {"aachen": openssh(key_of("x")).decode()}]
)
def test_a_site_added_or_a_key_exchanged_after_signing(sites):
    with pytest.raises(UserError, match=r"roster\.json: the signature is not the consortium's"):
        read_roster(changed(**sites), CONSORTIUM, "roster.json")


def test_a_roster_that_the_coordinator_signed():
    forged = make_roster({name: openssh(key_of(name)) for name in SITES}, key_of("coordinator"))
    with pytest.raises(UserError, match="not the consortium's"):
        read_roster(forged, CONSORTIUM, "roster.json")


@pytest.mark.parametrize(
    "garbage", [b"", b"[]", b"{}", b'{"sites": 1, "signature": ""}', b'{"sites": {}, "signature": "x"}']
)
def test_what_is_no_roster(garbage):
    with pytest.raises(UserError, match=r"roster\.json: is no roster"):
        read_roster(garbage, CONSORTIUM, "roster.json")


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ({"a": openssh(key_of("a")), "b": openssh(key_of("a"))}, "a and b have the same key"),
        ({"Not A Slug": openssh(key_of("a"))}, "lower-case"),
        (
            {"a": openssh(ec.generate_private_key(ec.SECP256R1()))},
            "the key of a: is not an elliptic-curve key on NIST P-384",
        ),
        ({"a": b"ssh-rsa ???"}, "the key of a: is no public key"),
    ],
)
def test_what_is_not_signed(sites, message):
    with pytest.raises(UserError, match=message):
        make_roster(sites, key_of("consortium"))

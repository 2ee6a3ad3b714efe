"""Signatures of audit heads: by the right key over the very head, or refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from oncotrain.errors import UserError
from oncotrain.federation.audit.heads import SignedHead, Signer
from oncotrain.federation.identity.keys import COORDINATOR, load_public_key, make_audit_key, make_site_key
from oncotrain.lake.audit import Head

SITE = "uz-leuven"
HEAD = Head(3, "a" * 64)


@pytest.fixture
def signer(tmp_path):
    return Signer.load(SITE, make_site_key(tmp_path, SITE))


def test_a_head_is_signed_by_its_key_and_no_other(signer, tmp_path):
    signed = signer.sign(HEAD)
    assert signed.is_signed_by(load_public_key(tmp_path / f"{SITE}.key.pub"))
    other = Signer.load(COORDINATOR, make_audit_key(tmp_path))
    assert not signed.is_signed_by(other.key.public_key())
    claimed = signed.model_copy(update={"key": other.sign(HEAD).key})
    assert not claimed.is_signed_by(other.key.public_key())
    assert not claimed.is_signed_by(signer.key.public_key())


@pytest.mark.parametrize(
    "change",
    [
        {"site": "chu-grenoble"},
        {"number": 4},
        {"sha256": "b" * 64},
        {"signature": ""},
        {"signature": "AAAA"},
        {"signature": "é"},
    ],
)
def test_a_signature_is_over_all_of_a_head(signer, change):
    assert not signer.sign(HEAD).model_copy(update=change).is_signed_by(signer.key.public_key())


def test_it_travels_as_json(signer):
    signed = signer.sign(HEAD)
    assert SignedHead.model_validate_json(signed.model_dump_json()) == signed


@pytest.mark.parametrize("change", [{"number": -1}, {"sha256": "zz"}, {"signature": "A" * 10_000}, {"more": 1}])
def test_what_is_no_head_does_not_parse(signer, change):
    with pytest.raises(ValidationError):
        SignedHead.model_validate({**signer.sign(HEAD).model_dump(), **change})


def test_only_the_owner_reads_the_coordinators_key(tmp_path):
    assert make_audit_key(tmp_path).stat().st_mode & 0o777 == 0o600


def test_files_that_hold_no_such_key_are_named(tmp_path):
    path = tmp_path / "some.key"
    with pytest.raises(UserError, match=r"some\.key: cannot be read \(No such file"):
        Signer.load(SITE, path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"some\.key: is no private key in OpenSSH format"):
        Signer.load(SITE, path)
    with pytest.raises(UserError, match=r"some\.key: is no public key in OpenSSH format"):
        load_public_key(path)
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        with pytest.raises(UserError, match=r"some\.key: is not an elliptic-curve key on NIST P-384"):
            Signer.load(SITE, path)
        path.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
        with pytest.raises(UserError, match=r"some\.key: is not an elliptic-curve key on NIST P-384"):
            load_public_key(path)

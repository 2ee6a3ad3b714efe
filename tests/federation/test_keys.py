"""Key pairs as OpenSSH writes and reads them."""

import subprocess

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from oncotrain.federation.identity.keys import fingerprint, load_public_key, make_site_key, public_half, spoken


def test_only_the_owner_reads_any_of_it(tmp_path):
    make_site_key(tmp_path, "uz-leuven")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_sites_key_pair_is_p384_and_belongs_together(tmp_path):
    private = make_site_key(tmp_path, "uz-leuven")
    key = load_ssh_private_key(private.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP384R1)
    public = load_ssh_public_key((tmp_path / "uz-leuven.key.pub").read_bytes())
    assert key.public_key() == public


def test_a_key_that_ssh_keygen_made_will_do(tmp_path):
    path = tmp_path / "uz-leuven.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", path], check=True)
    assert len(fingerprint(load_public_key(public_half(path)))) == 64


def test_a_fingerprint_is_read_out_in_groups():
    assert spoken("0123456789ab") == "0123 4567 89ab"

"""A site's key and roster from files."""

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import make_site_key
from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, read_credentials
from oncotrain.federation.secure.roster import make_roster


@pytest.fixture
def folder(tmp_path):
    consortium = make_site_key(tmp_path, "consortium")
    (tmp_path / "consortium.key.pub").rename(tmp_path / CONSORTIUM)
    keys = {site: make_site_key(tmp_path, site) for site in ("aachen", "basel")}
    publics = {site: (tmp_path / f"{site}.key.pub").read_bytes() for site in keys}
    signer = load_ssh_private_key(consortium.read_bytes(), password=None)
    (tmp_path / ROSTER).write_bytes(make_roster(publics, signer))
    return tmp_path


def test_the_files_of_a_folder(folder):
    found = read_credentials(folder / "aachen.key", folder / ROSTER, folder / CONSORTIUM)
    assert found.roster.keys["aachen"] == found.key.public_key()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("missing.key", ROSTER, CONSORTIUM), r"missing\.key: cannot be read"),
        (("aachen.key.pub", ROSTER, CONSORTIUM), "is no private key in OpenSSH format"),
        (("aachen.key", ROSTER, "aachen.key.pub"), r"roster\.json: the signature is not the consortium's"),
        (("aachen.key", ROSTER, "aachen.key"), r"aachen\.key: is no public key"),
        ((CONSORTIUM, ROSTER, CONSORTIUM), r"consortium\.pub: is no private key"),
        (("aachen.key", "aachen.key", CONSORTIUM), r"aachen\.key: is no roster"),
    ],
)
def test_the_wrong_file_is_named(folder, files, message):
    with pytest.raises(UserError, match=message):
        read_credentials(*(folder / name for name in files))

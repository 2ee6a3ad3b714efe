"""Who may join: one key a site, one site a key, and no way back for a key that was removed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from oncotrain import cli
from oncotrain.errors import UserError
from oncotrain.federation.identity.admission import admit, admitted, as_lines, remove
from oncotrain.federation.identity.keys import fingerprint, load_private_key, make_site_key, public_half, spoken
from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, load_roster


@pytest.fixture
def work(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    return work


def new_key(folder: Path, site: str) -> Path:
    """A public key that a site made in a folder of its own."""
    folder.mkdir(exist_ok=True)
    return public_half(make_site_key(folder, site))


def command(*arguments: object) -> str:
    """What `oncotrain coordinator ...` prints. Raises as the command does."""
    done = CliRunner().invoke(cli.app, ["coordinator", *(str(argument) for argument in arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_public_halves_alone_come_to_the_coordinator(work, tmp_path):
    key = admit(work, "basel", new_key(tmp_path / "basel", "basel"))
    assert admitted(work) == {"basel": key}
    for file in work.rglob("*.*"):
        assert b"PRIVATE" not in file.read_bytes()


@pytest.mark.parametrize("name", ["Basel", "../basel", "", "coordinator"])
def test_names_that_are_none(work, tmp_path, name):
    with pytest.raises(UserError, match=f"site {name!r}"):
        admit(work, name, new_key(tmp_path / "basel", "basel"))
    assert not admitted(work)


def test_a_key_that_another_site_has_is_refused_also_where_it_was_put_by_hand(work, tmp_path):
    key = new_key(tmp_path / "basel", "basel")
    admit(work, "basel", key)
    with pytest.raises(UserError, match="basel and delft have the same key"):
        admit(work, "delft", key)
    (work / "sites" / "delft.key.pub").write_bytes(key.read_bytes())
    with pytest.raises(UserError, match="basel and delft have the same key"):
        admitted(work)


def test_what_is_no_public_key_is_named(work, tmp_path):
    private = tmp_path / "basel" / "basel.key"
    new_key(private.parent, "basel")
    with pytest.raises(UserError, match=r"basel\.key: is no public key in OpenSSH format"):
        admit(work, "basel", private)
    with pytest.raises(UserError, match=r"missing\.pub: cannot be read"):
        admit(work, "basel", tmp_path / "missing.pub")


def test_a_removed_key_is_never_admitted_again_under_any_name(work, tmp_path):
    key = new_key(tmp_path / "basel", "basel")
    admit(work, "basel", key)
    remove(work, "basel")
    assert not admitted(work)
    for name in ("basel", "delft"):
        with pytest.raises(UserError, match="was removed once and is never admitted again"):
            admit(work, name, key)
    with pytest.raises(UserError, match="'basel' is not admitted; admitted are: none"):
        remove(work, "basel")


def test_a_new_key_takes_the_place_of_the_old_one(work, tmp_path):
    old, new = new_key(tmp_path / "old", "basel"), new_key(tmp_path / "new", "basel")
    admit(work, "basel", old)
    key = admit(work, "basel", new)
    assert admit(work, "basel", new) == key, "twice is no harm"
    assert admitted(work) == {"basel": key}
    with pytest.raises(UserError, match="was removed once"):
        admit(work, "basel", old)


def test_the_commands_from_init_to_roster(tmp_path):
    folder = tmp_path / "work"
    at = ("--folder", folder)
    assert "authority.pem" in command("init", "--host", "federation.example", *at)
    assert folder.stat().st_mode & 0o777 == 0o700
    for site in ("basel", "delft"):
        public = new_key(tmp_path / site, site)
        shown = command("admit", site, public, *at)
        assert spoken(fingerprint(admitted(folder)[site])) in shown
    assert command("list", *at).splitlines()[0].startswith("basel: ")
    signer = make_site_key(tmp_path, "consortium")
    assert "signed for basel, delft" in command("roster", "--consortium-key", signer, *at)
    assert as_lines(load_roster(folder / ROSTER, folder / CONSORTIUM).keys) == as_lines(admitted(folder))
    authority = (folder / "authority.pem").read_bytes()
    assert "federation.example" in command("renew", *at)
    assert (folder / "authority.pem").read_bytes() == authority
    assert command("remove", "basel", *at) == "basel is removed\n"
    assert "basel" not in command("list", *at)
    again = load_private_key(folder / "coordinator.key")
    command("init", "--host", "federation.example", *at)
    assert load_private_key(folder / "coordinator.key").public_key() == again.public_key(), "init overwrites nothing"


def test_renew_without_the_authority_says_what_to_type(tmp_path):
    with pytest.raises(UserError, match="type: oncotrain coordinator init"):
        command("renew", "--folder", tmp_path)

"""A site changes its key, and its audit still holds together."""

import shutil

import pytest
import yaml
from typer.testing import CliRunner

from oncotrain import cli
from oncotrain.errors import DataError, UserError
from oncotrain.federation.audit.counterpart import verify_against
from oncotrain.federation.audit.heads import Signer
from oncotrain.federation.audit.witness import WITNESSED
from oncotrain.federation.identity.keys import fingerprint, load_private_key, load_public_key, public_half, spoken
from oncotrain.federation.identity.rotation import HAND_OVER, hand_over, make_first_key, make_next_key, next_key
from oncotrain.lake import audit
from support.lakes import make_lake

SITE = "uz-leuven"


@pytest.fixture
def folder(tmp_path):
    make_first_key(tmp_path / "keys", SITE)
    return tmp_path / "keys"


@pytest.fixture
def centre(tmp_path):
    return make_lake(tmp_path / "centre")


def exchange(lake, centre, folder, count=2):
    """The site appends lines, and the coordinator keeps a head of each, signed with the key in use."""
    signer = Signer.load(SITE, folder / f"{SITE}.key")
    for _ in range(count):
        head = signer.sign(audit.append(lake, SITE, {"action": "federate", "kind": "train"}))
        audit.append(centre, "coordinator", {"action": "receive", WITNESSED: head.model_dump()})
    return signer.key.public_key()


def test_heads_of_both_keys_are_held_against_a_chain_with_the_hand_over(lake, centre, folder):
    old = exchange(lake, centre, folder)
    make_next_key(folder, SITE)
    new = hand_over(lake, folder, SITE)
    assert exchange(lake, centre, folder) == new
    assert load_public_key(folder / f"{SITE}.key.pub") == new
    assert not next_key(folder, SITE).exists()
    for key in (old, new):
        assert [each.head.number for each in verify_against(lake, SITE, centre, key)] == [0, 1, 3, 4]


def test_a_chain_rewritten_before_the_hand_over_is_found_with_the_new_key(lake, centre, folder):
    exchange(lake, centre, folder)
    make_next_key(folder, SITE)
    new = hand_over(lake, folder, SITE)
    events = [line["event"] for line in audit.read(lake, SITE)]
    lake.fs.rm(audit.chain_path(lake, SITE))
    for event in events:
        audit.append(lake, SITE, {**event, "rows": 7} if event["action"] == "federate" else event)
    exchange(lake, centre, folder)
    with pytest.raises(DataError, match="was rewritten from a line on that is between 1 and 1"):
        verify_against(lake, SITE, centre, new)


def test_without_a_hand_over_a_key_speaks_for_itself_alone(lake, centre, folder):
    exchange(lake, centre, folder)
    shutil.rmtree(folder)
    make_first_key(folder, SITE)
    new = exchange(lake, centre, folder)
    assert [each.head.number for each in verify_against(lake, SITE, centre, new)] == [2, 3]


def test_a_hand_over_that_the_old_key_did_not_sign_is_found(lake, centre, folder, tmp_path):
    exchange(lake, centre, folder)
    make_next_key(folder, SITE)
    hand_over(lake, folder, SITE)
    event = audit.read(lake, SITE)[-1]["event"]
    thief = load_public_key(public_half(make_first_key(tmp_path / "thief", SITE)))
    forged = {**event, "new_key": (tmp_path / "thief" / f"{SITE}.key.pub").read_text()}
    audit.append(lake, SITE, forged)
    with pytest.raises(DataError, match=r"line 4 of .* hands over to a key, not signed by the one before"):
        verify_against(lake, SITE, centre, thief)


def test_interrupted_it_goes_on(lake, centre, folder, monkeypatch):
    exchange(lake, centre, folder)
    make_next_key(folder, SITE)
    with monkeypatch.context() as broken:
        broken.setattr("oncotrain.federation.identity.rotation.write_private", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hand_over(lake, folder, SITE)
    new = hand_over(lake, folder, SITE)
    exchange(lake, centre, folder)
    assert load_private_key(folder / f"{SITE}.key").public_key() == new
    assert len(verify_against(lake, SITE, centre, new)) == 4


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_is_overwritten(lake, folder):
    before = (folder / f"{SITE}.key").read_bytes()
    with pytest.raises(UserError, match=r"uz-leuven\.key: is there"):
        make_first_key(folder, SITE)
    with pytest.raises(UserError, match=r"next\.key: is not there; type: oncotrain site keys"):
        hand_over(lake, folder, SITE)
    make_next_key(folder, SITE)
    with pytest.raises(UserError, match=r"next\.key: is there; once the coordinator has admitted it"):
        make_next_key(folder, SITE)
    assert (folder / f"{SITE}.key").read_bytes() == before


def test_the_commands(lake, tmp_path):
    folder, file = tmp_path / "keys", tmp_path / "site.yaml"
    described = {"site": SITE, "lake": lake.uri, "coordinator": "127.0.0.1:1", "folder": "keys"}
    file.write_text(yaml.safe_dump({**described, "config": "run.yaml", "job": "federated_client.py"}))
    at = ("--site", SITE, "--folder", str(folder))
    first = command("keys", *at)
    assert spoken(fingerprint(load_public_key(folder / f"{SITE}.key.pub"))) in first
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert "switch-key" in command("keys", *at, "--rotate")
    waiting = fingerprint(load_public_key(public_half(next_key(folder, SITE))))
    assert spoken(waiting) in command("switch-key", "--file", str(file))
    assert fingerprint(load_public_key(folder / f"{SITE}.key.pub")) == waiting
    assert [line["event"]["action"] for line in audit.read(lake, SITE)] == [HAND_OVER]
    shown = CliRunner().invoke(cli.app, ["audit", "show", "--lake", lake.uri, "--site", SITE])
    assert HAND_OVER in shown.output


def command(*arguments: str) -> str:
    """What `oncotrain site ...` prints. Raises as the command does."""
    done = CliRunner().invoke(cli.app, ["site", *arguments])
    if done.exception:
        raise done.exception
    return done.output

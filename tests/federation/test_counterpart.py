"""What a chain alone cannot show, found by the heads of it that the other side keeps."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from oncotrain import cli
from oncotrain.errors import DataError, UserError
from oncotrain.federation.audit.counterpart import verify_against
from oncotrain.federation.audit.heads import Signer
from oncotrain.federation.audit.witness import WITNESSED
from oncotrain.federation.identity.keys import load_public_key, make_site_key
from oncotrain.lake import audit
from oncotrain.lake.filesystem import Lake
from support.lakes import make_lake

SITE = "uz-leuven"
LINES = 6


def chain_of(lake: Lake) -> Path:
    return Path(lake.path("audit", f"{SITE}.jsonl"))


def keep(other: Lake, head: object) -> None:
    audit.append(other, "coordinator", {"action": "receive", WITNESSED: head})


def rewrite(lake: Lake, first: int) -> None:
    """Lines from number `first` on written anew, whole in themselves, with other rows."""
    events = [line["event"] for line in audit.read(lake, SITE)]
    lines = chain_of(lake).read_bytes().splitlines(keepends=True)
    chain_of(lake).write_bytes(b"".join(lines[:first]))
    for event in events[first:]:
        audit.append(lake, SITE, {**event, "rows": event["rows"] + 1})
    audit.verify(lake, SITE)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A site's lake, and the coordinator's, which keeps a signed head of every line."""
    folder = tmp_path_factory.mktemp("kept")
    site, centre = make_lake(folder / "site"), make_lake(folder / "centre")
    signer = Signer.load(SITE, make_site_key(folder, SITE))
    for number in range(LINES):
        head = audit.append(site, SITE, {"action": "federate", "kind": "train", "rows": number})
        keep(centre, signer.sign(head).model_dump())
    return SimpleNamespace(site=site, centre=centre, key=folder / f"{SITE}.key.pub", signer=signer)


@pytest.fixture
def copied(kept, tmp_path):
    """The same, to be damaged."""
    lakes = {}
    for name in ("site", "centre"):
        shutil.copytree(getattr(kept, name).root, tmp_path / name)
        lakes[name] = Lake(f"file://{tmp_path / name}")
    return SimpleNamespace(**{**vars(kept), **lakes})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Lake:
    """A lake whose chain each example writes anew."""
    return make_lake(tmp_path_factory.mktemp("scratch") / "site")


def test_a_chain_that_only_grew_agrees(copied):
    audit.append(copied.site, SITE, {"action": "pool", "rows": 1})
    found = verify_against(copied.site, SITE, copied.centre, load_public_key(copied.key))
    assert [each.head.number for each in found] == list(range(LINES))


@given(length=st.integers(0, LINES - 1))
def test_any_cut_tail_is_found(kept, scratch, length):
    lines = chain_of(kept.site).read_bytes().splitlines(keepends=True)
    chain_of(scratch).write_bytes(b"".join(lines[:length]))
    audit.verify(scratch, SITE)
    with pytest.raises(DataError, match=f"cut after line {length}; .*coordinator.jsonl, line {length + 1}, keeps"):
        verify_against(scratch, SITE, kept.centre)


@given(first=st.integers(0, LINES - 1))
def test_any_rewritten_chain_is_found(kept, scratch, first):
    shutil.copy(chain_of(kept.site), chain_of(scratch))
    rewrite(scratch, first)
    with pytest.raises(DataError, match=f"rewritten from a line on that is between {first + 1} and {first + 1};"):
        verify_against(scratch, SITE, kept.centre)


def test_one_head_after_the_rewritten_line_is_enough(kept, tmp_path, lake):
    """The other side keeps heads of lines 1 and 6 only."""
    shutil.copy(chain_of(kept.site), chain_of(lake))
    centre = make_lake(tmp_path / "centre")
    heads = [line["event"][WITNESSED] for line in audit.read(kept.centre, "coordinator")]
    keep(centre, heads[0])
    keep(centre, heads[-1])
    rewrite(lake, 3)
    with pytest.raises(DataError, match="between 2 and 6"):
        verify_against(lake, SITE, centre)


def test_a_broken_chain_at_either_side_is_found_first(copied):
    other = Path(copied.centre.path("audit", "coordinator.jsonl"))
    whole = other.read_text()
    other.write_text(whole.replace('"receive"', '"received"', 1))
    with pytest.raises(DataError, match=r"coordinator\.jsonl: line 1 was edited"):
        verify_against(copied.site, SITE, copied.centre)
    other.write_text(whole)
    chain_of(copied.site).write_text(chain_of(copied.site).read_text().replace('"rows":2', '"rows":7'))
    with pytest.raises(DataError, match=rf"{SITE}\.jsonl: line 3 was edited"):
        verify_against(copied.site, SITE, copied.centre)


def test_a_head_by_a_wrong_key_is_found(copied, tmp_path):
    [*_, last] = audit.read(copied.site, SITE)
    other = Signer.load(SITE, make_site_key(tmp_path, SITE))
    forged = other.sign(audit.Head(last["number"], last["sha256"])).model_dump()
    keep(copied.centre, {**forged, "key": copied.signer.sign(audit.Head(0, "0" * 64)).key})
    with pytest.raises(DataError, match=f"line {LINES + 1}, keeps a head that is not signed by the key it names"):
        verify_against(copied.site, SITE, copied.centre, load_public_key(copied.key))
    with pytest.raises(DataError, match=f"keeps no head of the audit of {SITE} by this key"):
        verify_against(copied.site, SITE, copied.centre, other.key.public_key())


def test_what_is_no_head_is_an_error(copied):
    keep(copied.centre, {"site": SITE, "number": "many"})
    with pytest.raises(DataError, match=f"line {LINES + 1} of coordinator's audit keeps what is no head"):
        verify_against(copied.site, SITE, copied.centre)


def test_another_sites_heads_say_nothing(copied, lake):
    audit.append(lake, "chu-grenoble", {"rows": 1})
    with pytest.raises(DataError, match="keeps no head of the audit of chu-grenoble"):
        verify_against(lake, "chu-grenoble", copied.centre)


def command(*arguments: object) -> str:
    """What `oncotrain audit ...` prints. Raises as the command does."""
    done = CliRunner().invoke(cli.app, ["audit", *(str(argument) for argument in arguments)])
    if done.exception:
        raise done.exception
    return done.output


def test_the_command_says_which_line_and_ends_with_3(copied):
    verify = ("verify", "--lake", copied.site.uri, "--site", SITE)
    against = ("--against", copied.centre.uri, "--public-key", copied.key)
    assert command(*verify).startswith("whole; 6 lines, the last one has SHA-256 ")
    assert "agrees with 6 heads" in command(*verify, *against)
    rewrite(copied.site, 4)
    assert "whole" in command(*verify), "a rewritten chain is whole in itself"
    with pytest.raises(DataError, match="between 5 and 5") as error:
        command(*verify, *against)
    assert error.value.exit_code == 3
    with pytest.raises(UserError, match="name it with --against"):
        command(*verify, "--public-key", copied.key)
    with pytest.raises(DataError, match="has no audit of nobody"):
        command("verify", "--lake", copied.site.uri, "--site", "nobody")


def test_the_command_shows_a_table(copied):
    found = command("show", "--lake", copied.site.uri, "--site", SITE)
    assert found.count("train") == LINES
    assert json.dumps("train") not in found
    assert "train" not in command("show", "--lake", copied.site.uri, "--site", SITE, "--run", "another")

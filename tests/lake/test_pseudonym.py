import stat
from pathlib import Path

import pytest

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pseudonym import Pseudonyms, pseudonymize, site_key
from support.lakes import make_lake


def test_key_is_drawn_once_and_private(lake: Lake) -> None:
    key = site_key(lake)
    assert len(key) == 32
    assert site_key(lake) == key
    assert lake.list("landing") == ["pseudonym.key"]
    assert stat.S_IMODE(Path(lake.path("landing", "pseudonym.key")).stat().st_mode) == 0o600


def test_key_that_was_there_is_kept(lake: Lake) -> None:
    lake.write_atomic(b"k" * 32, "landing", "pseudonym.key")
    assert site_key(lake) == b"k" * 32


def test_short_key_is_refused(lake: Lake) -> None:
    lake.write_atomic(b"k" * 31, "landing", "pseudonym.key")
    with pytest.raises(DataError, match="31 bytes"):
        site_key(lake)


def test_pseudonym_depends_on_key_kind_and_identifier_only() -> None:
    key = bytes(32)
    pseudonym = pseudonymize(key, "patient", "MRN1")
    assert pseudonym == pseudonymize(key, "patient", "MRN1")
    others = [
        (b"1" * 32, "patient", "MRN1"),
        (key, "sample", "MRN1"),
        (key, "patient", "MRN2"),
        (key, "patientM", "RN1"),
    ]
    assert pseudonym not in {pseudonymize(*other) for other in others}
    assert len(pseudonym) == 32


def test_two_sites_call_one_patient_differently(tmp_path: Path) -> None:
    keys = [site_key(make_lake(tmp_path / site)) for site in ("a", "b")]
    assert len({pseudonymize(key, "patient", "MRN1") for key in keys}) == 2


def test_site_can_go_back(lake: Lake) -> None:
    for identifiers in (["B, 1", "Ä2"], ["C3"]):
        pseudonyms = Pseudonyms(lake)
        made = {identifier: pseudonyms.make("sample", identifier) for identifier in identifiers}
        pseudonyms.save()
    table = lake.read_text("landing", "pseudonyms.csv")
    assert table.splitlines()[0] == "kind,pseudonym,identifier"
    assert f"sample,{made['C3']},C3" in table.splitlines()
    assert f'sample,{pseudonymize(site_key(lake), "sample", "B, 1")},"B, 1"' in table.splitlines()
    assert len(table.splitlines()) == 4

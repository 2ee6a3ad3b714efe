import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oncotrain.cli import app
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.overlap import (
    make_study_key,
    pseudonyms_of,
    read_study_key,
    read_tokens,
    shared_tokens,
    site_tokens,
)
from oncotrain.lake.pseudonym import Pseudonyms
from support.lakes import make_lake


def site(folder: Path, *patients: str) -> Lake:
    lake = make_lake(folder)
    pseudonyms = Pseudonyms(lake)
    for patient in patients:
        pseudonyms.make("patient", patient)
    pseudonyms.make("slide", "shared.svs")
    pseudonyms.save()
    return lake


def test_a_patient_at_two_sites_is_found_however_the_number_is_spelled(tmp_path: Path) -> None:
    sites = {"a": ("61.04-23 123", "P2"), "b": ("6104 23123", "P3"), "c": ("p-2", "P4")}
    lakes = {name: site(tmp_path / name, *patients) for name, patients in sites.items()}
    make_study_key(tmp_path / "study.key")
    assert stat.S_IMODE((tmp_path / "study.key").stat().st_mode) == 0o600
    key = read_study_key(tmp_path / "study.key")
    files = []
    for name, lake in lakes.items():
        files.append(str(tmp_path / f"{name}.json"))
        options = ["--lake", lake.uri, "--site", name, "--study-key", str(tmp_path / "study.key"), "--to", files[-1]]
        assert CliRunner().invoke(app, ["overlap", "tokens", *options]).exit_code == 0
        text = Path(files[-1]).read_text()
        assert not any(patient in text for patient in sites[name])

    shared = shared_tokens([read_tokens(Path(file)) for file in files])
    assert {pair: len(tokens) for pair, tokens in shared.items()} == {("a", "b"): 1, ("a", "c"): 1}
    assert pseudonyms_of(lakes["b"], key, shared["a", "b"]) == [Pseudonyms(lakes["b"]).make("patient", "6104 23123")]
    assert pseudonyms_of(lakes["c"], key, shared["a", "b"]) == []

    result = CliRunner().invoke(app, ["overlap", "find", *files])
    assert isinstance(result.exception, DataError)
    assert "a and b share 1 patients" in str(result.exception)
    assert "no patient" in CliRunner().invoke(app, ["overlap", "find", *files[1:]]).stdout
    own = ["overlap", "find", *files, "--lake", lakes["c"].uri, "--study-key", str(tmp_path / "study.key")]
    assert Pseudonyms(lakes["c"]).make("patient", "p-2") in CliRunner().invoke(app, own).stdout


def test_another_key_gives_other_tokens(tmp_path: Path) -> None:
    lake = site(tmp_path / "a", "P1")
    assert site_tokens(lake, "a", b"1" * 32).tokens != site_tokens(lake, "a", b"2" * 32).tokens


def test_what_is_refused(tmp_path: Path, lake: Lake) -> None:
    make_study_key(tmp_path / "study.key")
    with pytest.raises(UserError, match="a study has one key"):
        make_study_key(tmp_path / "study.key")
    (tmp_path / "study.key").chmod(0o644)
    with pytest.raises(UserError, match="others may read it"):
        read_study_key(tmp_path / "study.key")
    (tmp_path / "short.key").touch(mode=0o600)
    with pytest.raises(UserError, match="0 bytes"):
        read_study_key(tmp_path / "short.key")
    with pytest.raises(DataError, match="names no patient"):
        site_tokens(lake, "a", b"1" * 32)
    with pytest.raises(UserError, match="not a site's tokens"):
        read_tokens(tmp_path / "none.json")
    tokens = site_tokens(site(tmp_path / "a", "P1"), "a", b"1" * 32)
    with pytest.raises(UserError, match="given twice"):
        shared_tokens([tokens, tokens])

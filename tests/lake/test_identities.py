from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from petastorm.unischema import Unischema
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from oncotrain.cli import app
from oncotrain.errors import DataError, UserError
from oncotrain.lake import identities
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.identities import Finding, Needles, read_needles, search_lake
from oncotrain.lake.schema import image, scalar
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import write_dataset, write_part


@settings(deadline=None, max_examples=60)
@given(
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
    needle=st.text("abcäéXYZ 0123", min_size=6, max_size=12),
    encoding=st.sampled_from(identities.ENCODINGS),
    upper=st.booleans(),
)
def test_a_needle_is_found_in_any_encoding_and_case(
    before: bytes, after: bytes, needle: str, encoding: str, upper: bool
) -> None:
    ascii_case = needle.encode(encoding).upper() if upper else needle.encode(encoding)
    assert Needles(["nobody else", needle]).find(before + ascii_case + after, text=False) == {2}


def test_short_needles_are_words_of_texts() -> None:
    needles = Needles(["Li", "Ng"])
    assert needles.find(b'{"cohort": "Li"}', text=True) == {1}
    assert needles.find(b"line ring listing", text=True) == set()
    assert needles.find(b"\x00li\x00", text=False) == set()


def test_one_needle_inside_another_is_found_by_itself() -> None:
    needles = Needles(["Janson", "Jansons-Meier"])
    assert needles.find(b"Jansons-Meier and janson", text=False) == {1, 2}


def test_between_two_pieces_of_a_file_nothing_is_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "_CHUNK", 16)
    for shift in range(16):
        lake.write_atomic(b"." * shift + b"Jane Doe" + b"." * 30, "runs", "a", f"{shift}.bin")
    assert {found.path for found in search_lake(lake, ["Jane Doe"]).findings} == {
        f"runs/a/{shift}.bin" for shift in range(16)
    }


def publish(spark: SparkSession, lake: Lake, **values: object) -> None:
    schema = Unischema("tiles", [scalar("cohort", str), scalar("patient", str), image("pixels", np.uint8, (16, 16))])
    row = {"cohort": "demo", "patient": "0" * 32, "pixels": np.zeros((16, 16), np.uint8)} | values
    with staging(lake) as folder:
        write_part(lake.fs, f"{folder}/part.parquet", schema, [row])
        write_dataset(
            spark, lake, "tiles", kind="tiles", schema=schema, parts=[f"{folder}/part.parquet"], features={}, inputs={}
        )


def test_it_is_found_where_it_lies(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "needles.txt").write_text("Jane Doe\n\nMRN-4711\nLi\n")
    needles = read_needles(tmp_path / "needles.txt")
    publish(spark, lake)
    lake.write_atomic(b"{}", "runs", "a", "summary.json")
    clean = search_lake(lake, needles)
    assert (clean.rows, clean.findings) == (1, [])
    assert clean.files >= 4
    command = ["verify-deid", "--lake", lake.uri, "--needles", str(tmp_path / "needles.txt")]
    assert "nothing found" in CliRunner().invoke(app, command).stdout

    pixels = np.zeros((16, 16), np.uint8)
    pixels[3, :8] = np.frombuffer(b"mrn-4711", np.uint8)
    publish(spark, lake, cohort="Li", pixels=pixels)
    lake.write_atomic(b"JANE DOE", "audit", "site.jsonl")
    lake.write_atomic(b"{}", "runs", "jane doe", "summary.json")
    findings = search_lake(lake, needles).findings
    assert {
        Finding(1, "audit/site.jsonl", ""),
        Finding(1, "runs/jane doe/summary.json", ""),
        Finding(3, "curated/tiles/v0002", "pixels"),
        Finding(4, "curated/tiles/v0002", "cohort"),
    } <= set(findings)
    assert {found.path for found in findings} <= {
        "audit/site.jsonl",
        "runs/jane doe/summary.json",
        "curated/tiles/v0002",
        "curated/tiles/v0002/part-00000.parquet",
    }
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, DataError)
    assert "curated/tiles/v0002: holds line 3 of" in str(result.exception)
    assert "4711" not in str(result.exception)


def test_needles_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_needles(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(UserError, match="holds no name"):
        read_needles(tmp_path / "empty.txt")

import gzip
from pathlib import Path

import numpy as np
import pytest

from oncotrain.errors import DataError, UserError
from oncotrain.expression import delimited
from oncotrain.expression.matrix import Profile, open_matrix
from support.tables import GENES, SAMPLES, Tables

FORMATS = ["m.csv", "m.tsv", "m.txt", "m.csv.gz", "m.tsv.gz", "m.parquet"]
FORMATS += ["m.gct", "m.gct.gz", "late.gct", "m.mtx", "m.mtx.gz", "m.h5ad", "sparse.h5ad"]
ALL_GENES = np.arange(len(GENES))


def read(path: str, genes: np.ndarray = ALL_GENES, first: int = 0, stop: int = len(SAMPLES)) -> list[Profile]:
    return list(open_matrix(path, "auto", frozenset(SAMPLES)).profiles(first, stop, genes))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_formats_and_orientations_give_the_same_profiles(tables: Tables, name: str, transposed: bool) -> None:
    path, _, _ = tables.write(name, transposed)
    matrix = open_matrix(path, "auto", frozenset(SAMPLES))
    assert matrix.samples_as_rows is not transposed
    assert (list(matrix.samples), list(matrix.genes)) == (SAMPLES, GENES)
    order = np.array([4, 0, 2])
    profiles = read(path, order, 1, 5)
    assert [profile.position for profile in profiles] == [1, 2, 3, 4]
    expected = tables.expression.iloc[1:5, order].to_numpy(np.float32)
    np.testing.assert_array_equal(np.stack([profile.values for profile in profiles]), expected)
    assert not any(profile.problem for profile in profiles)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_cells_that_are_no_numbers_name_their_gene_and_spare_the_others(
    tables: Tables, name: str, transposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 300)  # so that numbers and text come from different pieces
    expected = tables.expression.to_numpy(np.float32)
    for row, column, cell in [(2, 3, "n.d."), (4, 1, None), (5, 0, "inf"), (5, 4, "1,5")]:
        tables.expression.iloc[row, column] = cell
    if name.endswith(".parquet"):
        tables.expression = tables.expression.astype(str).replace("None", None)
    path, _, _ = tables.write(name, transposed)
    profiles = read(path)
    problems = [profile.problem for profile in profiles]
    assert [index for index, problem in enumerate(problems) if problem] == [2, 4, 5]
    assert problems[2] == "expression of C1orf112 is 'n.d.'; every cell must be a finite number"
    assert problems[4] == "expression of EGFR is empty; every cell must be a finite number"
    assert str(problems[5]).startswith("expression of TP53 is ")
    for row in (0, 1, 3, 6):
        np.testing.assert_array_equal(profiles[row].values, expected[row])


def test_cells_of_genes_that_are_not_taken_do_not_matter(tables: Tables) -> None:
    tables.expression.iloc[:, 3] = "text"
    for transposed in (False, True):
        path, _, _ = tables.write(transposed=transposed)
        assert not any(profile.problem for profile in read(path, np.array([0, 5])))


def test_declared_orientation_is_taken_and_strange_samples_are_refused(tables: Tables) -> None:
    path, _, _ = tables.write()
    assert open_matrix(path, "samples_as_columns", frozenset()).genes == tuple(SAMPLES)
    with pytest.raises(DataError, match=r"none of the samples table's 1 samples is among its 7 rows or 6 columns"):
        open_matrix(path, "auto", frozenset({"OTHER"}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", "first line has no names"),
        ("m.csv", b"just text\n", "first line has no names"),
        ("m.csv", b"id,TP53\n", "its 0 rows or 1 columns"),
        ("m.csv", b"id,TP53,EGFR\nS1,1,2\nS2,1\n", "Expected 3 columns, got 2"),
        ("m.csv", bytes(range(128, 256)), "not a table"),
        ("m.csv.gz", b"id,TP53\nS1,1\n", "not a table"),
        ("m.csv.gz", gzip.compress(b"id,TP53\n" + b"S,0.1\n" * 9999)[:-99], "not a table"),
        ("m.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_files_that_are_no_matrix(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_matrix(str(tmp_path / name), "auto", frozenset(SAMPLES))
    assert str(tmp_path / name) in str(caught.value)


def test_unknown_format_and_missing_file_are_the_users_mistakes(tmp_path: Path) -> None:
    (tmp_path / "m.xlsx").write_bytes(b"")
    with pytest.raises(UserError, match=r"no known format; allowed: \.csv"):
        open_matrix(str(tmp_path / "m.xlsx"), "auto", frozenset())
    with pytest.raises(UserError, match="cannot be read"):
        open_matrix(str(tmp_path / "absent.csv"), "auto", frozenset())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.gct", b"#9\n1\t1\nName\tDescription\ta\n", r"begins with '#9'.*allowed: GCT #1.2 and #1.3"),
        ("m.h5ad", b"no HDF5", "is not an h5ad file"),
        ("m.mtx", b"%%MatrixMarket matrix array real general\n", "allowed: %%MatrixMarket matrix coordinate"),
        ("m.mtx", b"%%MatrixMarket matrix coordinate real general\n2 x 1\n", "must hold three numbers"),
        ("m.mtx", b"%%MatrixMarket matrix coordinate real general\n2 2 0\n", "no names of its rows beside it"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: .*{message}" if not message.startswith("begins") else message):
        open_matrix(str(tmp_path / name), "auto", frozenset(SAMPLES))


def test_names_that_do_not_fit_a_market_matrix_are_said(tables: Tables) -> None:
    path, _, _ = tables.write("m.mtx")
    (Path(path).parent / "barcodes.tsv").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=rf"is {len(SAMPLES)} x {len(GENES)}, but its names are of .* and 2 columns"):
        open_matrix(path, "auto", frozenset(SAMPLES))

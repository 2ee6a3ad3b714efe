import json
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.row_group_cache import DiskCache

COLUMNS = ["slide", "x", "pixels", "instances"]


@pytest.fixture
def tiles(pooled) -> Dataset:
    return open_dataset(pooled.centre, "tiles")


def first_file(dataset: Dataset) -> Path:
    return Path(dataset.path(dataset.manifest.files[0]))


def test_rows_are_numbered_in_storage_order(tiles: Dataset) -> None:
    index = tiles.index(["site", "slide", "x"])
    assert list(index.index) == list(range(tiles.rows))
    assert sum(tiles.group_sizes) == tiles.rows
    assert list(index["site"]) == sorted(index["site"])
    for number, row in enumerate(tiles.iterate(["site", "slide", "x"])):
        assert row == dict(index.loc[number])


def test_rows_come_in_the_order_asked_for(tiles: Dataset) -> None:
    everything = list(tiles.iterate(COLUMNS))
    rows = np.random.default_rng(0).permutation(tiles.rows)
    for number, row in zip(rows, tiles.read(rows, COLUMNS), strict=True):
        assert (row["slide"], row["x"]) == (everything[number]["slide"], everything[number]["x"])
        np.testing.assert_array_equal(row["pixels"], everything[number]["pixels"])
    assert row["pixels"].dtype == np.uint8
    assert row["instances"].dtype == np.int32


def test_chosen_rows_are_iterated_in_storage_order(tiles: Dataset) -> None:
    index = tiles.index(["slide", "x"])
    found = [(row["slide"], row["x"]) for row in tiles.iterate(["slide", "x"], rows=[17, 3, 4])]
    assert found == [tuple(index.loc[number]) for number in (3, 4, 17)]


def test_missing_clinical_values_are_none(pooled) -> None:
    row = open_dataset(pooled.centre, "samples").read([4], ["clinical_sex", "clinical_age"])[0]
    assert row["clinical_sex"] is None
    assert row["clinical_age"] == 44.0


def test_the_cache_holds_row_groups_up_to_its_limit(pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = Dataset._row_group
    monkeypatch.setattr(Dataset, "_row_group", lambda self, *args: reads.append(args[0]) or load(self, *args))
    first, second = 0, open_dataset(pooled.centre, "tiles").group_sizes[0]
    for limit, expected in ((1 << 30, [0, 1]), (0, [0, 1, 0])):
        dataset = open_dataset(pooled.centre, "tiles", cache_bytes=limit)
        reads.clear()
        for row in (first, first + 1, second, first):
            dataset.read([row], ["pixels"])
        assert reads == (expected if limit else [0, 0, 1, 0])


def test_rows_loaded_before_are_not_read_again(pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(pooled.centre, "tiles")
    rows = np.arange(dataset.rows)
    expected = [row["pixels"].tobytes() for row in open_dataset(pooled.centre, "tiles").read(rows, ["pixels"])]
    dataset.load(rows, ["pixels"])
    monkeypatch.setattr(Dataset, "_row_group", lambda *_: pytest.fail("read again"))
    assert [row["pixels"].tobytes() for row in dataset.read(rows, ["pixels"])] == expected


def test_the_disk_cache_is_read_instead_of_the_lake(
    pooled, copy_of: Callable[[Lake], Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = copy_of(pooled.centre)
    cache = DiskCache(tmp_path / "cache", 1 << 30)
    first = open_dataset(lake, "tiles", disk_cache=cache)
    expected = first.read(range(first.rows), COLUMNS)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    second = pickle.loads(pickle.dumps(first))  # noqa: S301 (our own bytes)
    monkeypatch.setattr(Dataset, "_read", None)
    for row, again in zip(expected, second.read(range(second.rows), COLUMNS), strict=True):
        assert all(np.array_equal(row[column], again[column]) for column in COLUMNS)


def test_the_disk_cache_keeps_to_its_limit(pooled, tmp_path: Path) -> None:
    dataset = open_dataset(pooled.centre, "tiles", cache_bytes=0, disk_cache=DiskCache(tmp_path / "all", 1 << 30))
    list(dataset.iterate(COLUMNS))
    everything = DiskCache(tmp_path / "all", 1 << 30).volume
    small = DiskCache(tmp_path / "small", everything // 2)
    for _ in range(3):
        list(open_dataset(pooled.centre, "tiles", cache_bytes=0, disk_cache=small).iterate(COLUMNS))
    assert 0 < small.volume < everything


def test_it_travels_as_its_address(tiles: Dataset) -> None:
    data = pickle.dumps(tiles)
    assert len(data) < 1000
    assert pickle.loads(data).manifest == tiles.manifest  # noqa: S301 (our own bytes)


def test_reading_imports_neither_spark_nor_py4j(tiles: Dataset) -> None:
    code = (
        "import sys\n"
        "from oncotrain.lake.dataset import open_dataset\n"
        "from oncotrain.lake.filesystem import Lake\n"
        f"open_dataset(Lake({tiles.lake.uri!r}), 'tiles').read([0], ['pixels'])\n"
        "assert not {'pyspark', 'py4j'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_does_not_exist_is_named(pooled, lake: Lake) -> None:
    with pytest.raises(UserError, match="no dataset 'slides'; published: samples, tiles"):
        open_dataset(pooled.centre, "slides")
    with pytest.raises(UserError, match="no version 'v0009'; published: v0001"):
        open_dataset(pooled.centre, "tiles", "v0009")
    with pytest.raises(UserError, match="published: none"):
        open_dataset(lake, "tiles")
    with pytest.raises(IndexError):
        open_dataset(pooled.centre, "tiles").read([10_000], ["x"])


def test_the_schema_pickle_is_never_read(pooled, copy_of: Callable[[Lake], Lake]) -> None:
    lake = copy_of(pooled.centre)
    Path(lake.path("curated", "tiles", "v0001", "_common_metadata")).write_bytes(b"not a pickle")
    assert len(list(open_dataset(lake, "tiles").iterate(["pixels"]))) == pooled.tiles["rows"]


def drop_row_group(file: Path) -> None:
    """Rewrite a Parquet file without its last row group."""
    parquet = pq.ParquetFile(file)
    kept = parquet.read_row_groups(range(parquet.num_row_groups - 1))
    pq.write_table(kept, file, row_group_size=parquet.metadata.row_group(0).num_rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_row_group, r"expected \d+ rows in row groups of .*, found \d+ in .*changed after publication"),
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]), "is not a whole Parquet file"),
    ],
)
def test_a_file_changed_behind_the_manifests_back_is_noticed(
    pooled, copy_of: Callable[[Lake], Lake], damage: Callable[[Path], None], message: str
) -> None:
    lake = copy_of(pooled.centre)
    opened = open_dataset(lake, "tiles")
    damage(first_file(opened))
    with pytest.raises(DataError, match=f"part-00000.parquet: {message}") as error:
        open_dataset(lake, "tiles")
    assert error.value.exit_code == 3
    for read in (
        lambda: opened.read([0], ["pixels"]),
        lambda: list(opened.iterate(["pixels"])),
        lambda: opened.index(["x"]),
    ):
        with pytest.raises(DataError, match=r"part-00000.parquet"):
            read()


@pytest.mark.parametrize("damage", [b"DZ2\0", b"DZ3\1"], ids=["an earlier codec", "a flipped bit"])
def test_a_record_that_cannot_be_decoded_is_named(pooled, copy_of: Callable[[Lake], Lake], damage: bytes) -> None:
    dataset = open_dataset(copy_of(pooled.centre), "tiles")
    file = first_file(dataset)
    file.write_bytes(file.read_bytes().replace(b"DZ3\0", damage, 1))
    with pytest.raises(DataError, match=r"part-00000\.parquet: row 0 of row group 0 is damaged, or of another codec"):
        list(dataset.iterate(["pixels", "instances", "classes", "valid", "labelled"]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda manifest: manifest | {"rows": 3}, "contradict each other"),
        (lambda manifest: manifest | {"files": manifest["files"][:-1]}, "contradict each other"),
        (lambda manifest: manifest | {"version": "v0002"}, "belongs to tiles/v0002"),
        (lambda manifest: manifest | {"note": "x"}, "unknown key 'note'"),
        (lambda manifest: manifest | {"format_version": 2}, "'format_version' has value 2"),
        (lambda manifest: [manifest], "must be an object"),
    ],
)
def test_an_edited_manifest_is_noticed(
    pooled, copy_of: Callable[[Lake], Lake], edit: Callable[[dict], object], message: str
) -> None:
    lake = copy_of(pooled.centre)
    path = Path(lake.path("curated", "tiles", "v0001", "_manifest.json"))
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=message):
        open_dataset(lake, "tiles")

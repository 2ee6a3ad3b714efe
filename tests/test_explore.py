from collections.abc import Iterator

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from oncotrain.errors import UserError
from oncotrain.explore import arrays, decode, lake, picture
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from support.datasets import write_samples, write_tiles
from support.lakes import make_lake


@pytest.fixture(scope="module")
def source(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    source = make_lake(tmp_path_factory.mktemp("explore") / "lake")
    write_tiles(spark, source, "site", patients=2, name="tiles-2024")
    write_samples(spark, source, "site", patients=5, drugs=["afatinib", "cisplatin"])
    yield source
    for view in ("tiles_2024", "samples"):
        spark.catalog.dropTempView(view)


@pytest.fixture(scope="module")
def tables(spark: SparkSession, source: Lake) -> dict[str, DataFrame]:
    return lake(spark, source.uri)


def test_every_dataset_is_a_frame_and_a_view(spark: SparkSession, tables: dict[str, DataFrame]) -> None:
    assert sorted(tables) == ["samples", "tiles-2024"]
    assert spark.sql("select count(*) from tiles_2024").first()[0] == tables["tiles-2024"].count() == 8


def test_drugs_are_decoded_to_their_names(source: Lake, tables: dict[str, DataFrame]) -> None:
    decoded = decode(tables["samples"].where("sample is not null"), "drug", "response")
    found = {row["sample"]: (row["drug"], row["response"]) for row in decoded.collect()}
    for row in open_dataset(source, "samples").iterate(["sample", "drug", "response"]):
        names = [["afatinib", "cisplatin"][index] for index in row["drug"]]
        assert found[row["sample"]] == (names, pytest.approx(row["response"].tolist()))


def test_tiles_are_decoded_on_request(source: Lake, tables: dict[str, DataFrame]) -> None:
    last = tables["tiles-2024"].where("x = 96").orderBy("slide")
    expected = [row["pixels"] for row in open_dataset(source, "tiles-2024").read([3, 7], ["pixels"])]
    np.testing.assert_array_equal(arrays(last, "pixels"), expected)
    assert decode(last, "pixels").first()["pixels"] == expected[0].tolist()


def test_a_picture_shows_tiles_side_by_side_with_their_outlines(tables: dict[str, DataFrame]) -> None:
    tiles = tables["tiles-2024"]
    plain, outlined = (np.asarray(picture(tiles, limit=3, outlines=outlines)) for outlines in (False, True))
    assert plain.shape == outlined.shape == (64, 64, 3)
    np.testing.assert_array_equal(plain[:32, :32], arrays(tiles, "pixels", limit=1)[0])
    assert (plain[32:, 32:] == 255).all()
    assert (outlined != plain).any()


def test_only_encoded_columns_can_be_decoded(tables: dict[str, DataFrame]) -> None:
    with pytest.raises(UserError, match="column 'x' is not an encoded one; encoded here: pixels, instances"):
        decode(tables["tiles-2024"], "x")
    with pytest.raises(UserError, match="no tile is left to show"):
        picture(tables["tiles-2024"].where("x < 0"))

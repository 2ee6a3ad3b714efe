"""The patched Petastorm as it is installed: what its unpickler admits, its codec, and that readers lose no row."""

import decimal
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark.sql.types as spark_types
import pytest
import zstandard
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petastorm import delta_zstd, make_reader, pyarrow_compat, utils
from petastorm.codecs import (
    CompressedImageCodec,
    CompressedNdarrayCodec,
    DeltaZstdCodec,
    NdarrayCodec,
    ScalarCodec,
)
from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY
from petastorm.etl.legacy import restricted_loads
from petastorm.unischema import Unischema, UnischemaField

ROWS, FILES = 60, 12


def _field(dtype: type, shape: tuple[int | None, ...]) -> UnischemaField:
    return UnischemaField("pixels", dtype, shape, DeltaZstdCodec(), False)


# The unpickler


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cnumpy\nfromfile\n.",
        b"cnumpy.f2py\nrun_main\n.",
        b"cpyspark.serializers\nCloudPickleSerializer\n.",
        b"cpetastorm.utils\nrun_in_subprocess\n.",
        b"cpetastorm.unischema\nsys\n.",
        pickle.PROTO + b"\x04\x8c\x13petastorm.unischema\x8c\x12Unischema.__init__\x93.",
    ],
)
def test_unpickler_refuses_what_is_not_on_the_list(payload: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is forbidden"):
        restricted_loads(payload)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_unpickler_admits_what_a_schema_needs(protocol: int) -> None:
    dtypes = [np.bool_, np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64, np.str_, np.bytes_]
    fields = [UnischemaField(f"plain_{dtype.__name__}", dtype, (), None, True) for dtype in dtypes]
    scalars = {
        np.int32: spark_types.IntegerType(),
        np.int64: spark_types.LongType(),
        np.float32: spark_types.FloatType(),
        np.float64: spark_types.DoubleType(),
        np.bool_: spark_types.BooleanType(),
        np.str_: spark_types.StringType(),
        decimal.Decimal: spark_types.DecimalType(10, 2),
    }
    fields += [UnischemaField(f"scalar_{t.__name__}", t, (), ScalarCodec(s), False) for t, s in scalars.items()]
    for codec in (NdarrayCodec(), CompressedNdarrayCodec(), DeltaZstdCodec(), CompressedImageCodec("png")):
        fields.append(UnischemaField(type(codec).__name__, np.uint8, (None, 4), codec, False))
    schema = restricted_loads(pickle.dumps(Unischema("everything", fields), protocol))
    assert list(schema.fields.values()) == fields


# The codec


@given(
    st.sampled_from([np.uint8, np.uint16, np.int32]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=9))
    )
)
def test_codec_is_lossless(array: np.ndarray) -> None:
    field = _field(array.dtype.type, (None,) * array.ndim)
    decoded = DeltaZstdCodec().decode(field, bytes(DeltaZstdCodec().encode(field, array)))
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize(
    "array",
    [np.indices((250, 331, 3))[:2].sum(axis=0).astype(np.uint8), np.indices((250, 331)).sum(axis=0).astype(np.int32)],
    ids=["image", "labels"],
)
def test_codec_tells_values_from_their_neighbours(array: np.ndarray) -> None:
    """Nothing is left of what rises evenly both ways."""
    field = _field(array.dtype.type, array.shape)
    record = bytes(DeltaZstdCodec().encode(field, array))
    assert len(record) < array.nbytes / 300
    np.testing.assert_array_equal(DeltaZstdCodec().decode(field, record), array)


def test_codec_is_lossless_where_sums_outgrow_32_bits() -> None:
    """Differences of 255 add up to 42 million x 255."""
    array = np.multiply.outer(np.arange(7000), np.arange(6000)).astype(np.uint8) * np.uint8(255)
    np.testing.assert_array_equal(delta_zstd.decode(delta_zstd.encode(array)), array)


@given(hnp.arrays(np.int32, (9, 7), elements=st.integers(0, 300)))
def test_labels_take_as_many_bytes_as_the_largest_needs(labels: np.ndarray) -> None:
    header = delta_zstd.header(delta_zstd.encode(labels))
    assert header.stored == np.min_scalar_type(labels.max())
    assert header.dtype == np.int32


def test_codec_refuses_a_record_wider_than_its_dtype() -> None:
    record = bytearray(delta_zstd.encode(np.full((4, 4), 300, np.uint16)))
    assert delta_zstd.header(bytes(record)).stored == np.uint16
    record[4] = 1
    with pytest.raises(ValueError, match="not a delta-zstd record"):
        delta_zstd.decode(bytes(record))


def test_codec_asks_for_no_more_memory_than_it_may_where_little_is_stored() -> None:
    """256 MiB and a byte as uint8 would be four times that as int32."""
    with pytest.raises(ValueError, match="record of 1073741828 bytes: at most"):
        delta_zstd.decode(struct.pack("<4s3B2I", delta_zstd.MAGIC, 3, 1, 2, 1, (1 << 28) + 1))


def test_codec_refuses_pixels_of_more_bytes_than_an_image_has() -> None:
    with pytest.raises(ValueError, match="pixels of 129 bytes: at most 128"):
        delta_zstd.encode(np.zeros((2, 3, 129), np.uint8))
    with pytest.raises(ValueError, match="pixels of 132 bytes: at most 128"):
        delta_zstd.decode(struct.pack("<4s3B3I", delta_zstd.MAGIC, 3, 3, 3, 1, 1, 33))


@given(st.data())
def test_codec_survives_any_damage(data: st.DataObject) -> None:
    """A damaged record is refused, or decodes to what the schema allows: never another shape, dtype or error."""
    field = _field(np.uint8, (8, 8, 3))
    record = bytearray(DeltaZstdCodec().encode(field, np.arange(192, dtype=np.uint8).reshape(8, 8, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    del record[data.draw(st.integers(0, len(record))) :]
    try:
        decoded = DeltaZstdCodec().decode(field, bytes(record))
    except ValueError:
        return
    assert (decoded.dtype, decoded.shape) == (np.uint8, (8, 8, 3))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.uint8), "expected uint8 of shape"),
        (np.zeros((4, 5, 3), np.uint8), "expected uint8 of shape"),
        (np.zeros((4, 4, 3), np.uint16), "got uint16"),
        (np.zeros((4, 4, 3), np.float32), "got float32"),
    ],
)
def test_codec_refuses_arrays_that_the_schema_does_not_have(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeltaZstdCodec().encode(_field(np.uint8, (4, 4, 3)), array)


@pytest.mark.parametrize("written", [(np.uint16, (4, 4)), (np.uint8, (4, 5)), (np.uint8, (4, 4, 1))])
def test_codec_refuses_records_that_the_schema_does_not_have(written: tuple[type, tuple[int, ...]]) -> None:
    record = delta_zstd.encode(np.zeros(written[1], written[0]))
    with pytest.raises(ValueError, match="Field pixels: expected uint8 of shape"):
        DeltaZstdCodec().decode(
            _field(np.uint8, (4, None)) if len(written[1]) == 3 else _field(np.uint8, (4, 4)), record
        )


def test_codec_refuses_a_decompression_bomb() -> None:
    """The frame says 256 MiB, the header 16 bytes: nothing is decompressed. And no header may ask for 4 GiB."""
    header = struct.pack("<4s3B2I", delta_zstd.MAGIC, 1, 1, 2, 4, 4)
    bomb = header + zstandard.ZstdCompressor().compress(bytes(256 << 20))
    assert len(bomb) < 32_000
    with pytest.raises(ValueError, match="268435456 bytes for uint8"):
        DeltaZstdCodec().decode(_field(np.uint8, (4, 4)), bomb)
    with pytest.raises(ValueError, match="record of 4294967296 bytes: at most"):
        delta_zstd.decode(struct.pack("<4s3B2I", delta_zstd.MAGIC, 1, 1, 2, 1 << 16, 1 << 16) + bomb[15:])


def test_codec_refuses_a_frame_of_unstated_size() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    record = struct.pack("<4s3B2I", delta_zstd.MAGIC, 1, 1, 2, 4, 4) + compressor.compress(bytes(16))
    with pytest.raises(ValueError, match="-1 bytes for uint8"):
        delta_zstd.decode(record)


# The readers


@pytest.fixture(scope="module")
def dataset_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixty rows in twelve files of one row group each."""
    folder = tmp_path_factory.mktemp("dataset")
    schema = Unischema("rows", [UnischemaField("id", np.int64, (), None, False)])
    for number in range(FILES):
        ids = range(number * ROWS // FILES, (number + 1) * ROWS // FILES)
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), folder / f"part-{number:02}.parquet")
    dataset = pyarrow_compat.ParquetDataset(str(folder), LocalFileSystem())
    groups = ",".join(f'"part-{number:02}.parquet": 1' for number in range(FILES))
    utils.add_to_dataset_metadata(dataset, UNISCHEMA_KEY, pickle.dumps(schema))
    utils.add_to_dataset_metadata(dataset, ROW_GROUPS_PER_FILE_KEY, f"{{{groups}}}".encode())
    return f"file://{folder}"


def _ids(url: str, pool: str, workers: int = 3, **options: object) -> list[int]:
    with make_reader(url, reader_pool_type=pool, workers_count=workers, **options) as reader:
        return [int(row.id) for row in reader]


@pytest.mark.parametrize(("pool", "workers", "repeats"), [("thread", 3, 200), ("dummy", 1, 50), ("process", 1, 1)])
def test_no_reader_loses_a_row(dataset_url: str, pool: str, workers: int, repeats: int) -> None:
    for _ in range(repeats):
        assert sorted(_ids(dataset_url, pool, workers)) == list(range(ROWS))


def test_one_seed_is_one_order(dataset_url: str) -> None:
    orders = {tuple(_ids(dataset_url, "thread", seed=7, num_epochs=2)) for _ in range(20)}
    assert len(orders) == 1
    assert _ids(dataset_url, "thread", shuffle_row_groups=False) == list(range(ROWS))


def test_partition_columns_are_read_and_filtered(tmp_path: Path) -> None:
    for site in ("a", "b"):
        (tmp_path / f"site={site}").mkdir()
        pq.write_table(pa.table({"id": [1, 2]}), tmp_path / f"site={site}" / "part.parquet")
    whole = pyarrow_compat.ParquetDataset(str(tmp_path), LocalFileSystem())
    tables = [piece.read(partitions=whole.partitions) for piece in whole.pieces]
    assert [table["site"].to_pylist() for table in tables] == [["a", "a"], ["b", "b"]]
    some = pyarrow_compat.ParquetDataset(str(tmp_path), LocalFileSystem(), filters=[("site", "=", "b")])
    assert [Path(piece.path).parent.name for piece in some.pieces] == ["site=b"]
    with pytest.raises(ValueError, match="Cannot filter by 'id': the dataset is partitioned by \\['site'\\]"):
        pyarrow_compat.ParquetDataset(str(tmp_path), LocalFileSystem(), filters=[("id", "=", 1)])


def test_stdout_stays_empty(dataset_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    _ids(dataset_url, "thread")
    assert capfd.readouterr().out == ""

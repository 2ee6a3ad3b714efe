import pickle
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake, open_filesystem, rename_new, write_atomic
from oncotrain.lake.hdfs import known_host


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://bucket/lake", "scheme 's3' is unknown; allowed: file:///path, hdfs://host:port/path"),
        ("/data/lake", "scheme '' is unknown"),
        ("file://data/lake", "relative"),
        ("hdfs:///lake", "NameNode is missing"),
        ("file:///", "path is missing"),
        ("hdfs://namenode:8020:/lake", "port is no number"),
    ],
)
def test_an_uri_that_names_no_lake_is_refused(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Lake(uri)


def test_paths_and_uris_are_inside_the_lake(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/")
    assert lake.path("curated", "tiles") == f"{tmp_path}/curated/tiles"
    assert lake.child_uri("curated") == f"file://{tmp_path}/curated"
    assert pickle.loads(pickle.dumps(lake)) == lake  # noqa: S301 (our own bytes)


def test_hdfs_opens_without_java_or_spark() -> None:
    fs, path = open_filesystem("hdfs://127.0.0.1:8020/lakes/a/")
    assert (fs.host, fs.port, path) == ("127.0.0.1", 8020, "/lakes/a")


def test_a_namenode_is_named_as_the_tokens_of_a_container_name_it(tmp_path: Path) -> None:
    for service, known in (("127.0.0.1:8020", "127.0.0.1"), ("localhost:8020", "localhost")):
        tokens = tmp_path / service
        tokens.write_bytes(b"HDTS\0" + service.encode() + b"\0")
        assert known_host("localhost", 8020, str(tokens)) == known
        assert known_host("nameservice", None, str(tokens)) == "nameservice"
    assert known_host("localhost", 8020, None) == "localhost"


def test_rename_neither_nests_nor_overwrites(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(FileExistsError):
        rename_new(LocalFileSystem(), f"{tmp_path}/new", f"{tmp_path}/old")
    assert (tmp_path / "old" / "file").read_text() == "old"
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == ["file"]
    assert (tmp_path / "new").exists()


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path: Path) -> None:
    write_atomic(LocalFileSystem(), f"{tmp_path}/file", b"old")
    with pytest.raises(TypeError):
        write_atomic(LocalFileSystem(), f"{tmp_path}/file", "not bytes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"

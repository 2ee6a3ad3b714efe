from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, get_ident

import numpy as np
import pytest
from petastorm.unischema import Unischema

from oncotrain.errors import DataError, UserError
from oncotrain.lake import publish
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import Manifest, dataset_versions, newest_manifest, read_manifest
from oncotrain.lake.publish import Published, describe_file, hash_file, publish_dataset
from oncotrain.lake.schema import scalar
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import write_part

FILE = "part-00000.parquet"
SCHEMA = Unischema("samples", [scalar("patient", str), scalar("value", np.int32)])


@contextmanager
def staged(lake: Lake, value: int) -> Iterator[str]:
    with staging(lake) as path:
        rows = [{"patient": f"p{number}", "value": value} for number in range(4)]
        write_part(lake.fs, f"{path}/{FILE}", SCHEMA, rows)
        yield path


def publish_staged(lake: Lake, path: str, name: str = "samples") -> Published:
    file = describe_file(lake, f"{path}/{FILE}", SCHEMA)
    return publish_dataset(lake, path, name, files=[file], kind="samples", schema=SCHEMA, features={}, inputs={})


def publish_value(lake: Lake, value: int) -> Manifest:
    with staged(lake, value) as path:
        return publish_staged(lake, path).manifest


def test_new_content_is_a_new_version_and_equal_content_is_not(lake: Lake) -> None:
    first, second, again = (publish_value(lake, value) for value in (1, 2, 2))
    assert [first.version, second.version, again.version] == ["v0001", "v0002", "v0002"]
    assert first.sha256 != second.sha256
    assert second == again == newest_manifest(lake, "samples")
    assert publish_value(lake, 1).version == "v0003", "older content is published anew: the newest version counts"


def test_the_manifest_describes_the_files(lake: Lake) -> None:
    manifest = publish_value(lake, 1)
    (file,) = manifest.files
    path = lake.path("curated", "samples", "v0001", file.path)
    assert (manifest.rows, file.rows, file.row_groups) == (4, 4, (4,))
    assert file.bytes == Path(path).stat().st_size
    assert file.sha256 == hash_file(lake, path)
    assert read_manifest(lake, "samples", "v0001") == manifest


def test_two_publishers_at_once_get_a_version_each(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    meet = Barrier(2, timeout=20)
    looked: set[int] = set()

    def newest_once_both_have_looked(lake: Lake, name: str) -> Manifest | None:
        found = newest_manifest(lake, name)
        if get_ident() not in looked:
            looked.add(get_ident())
            meet.wait()
        return found

    monkeypatch.setattr(publish, "newest_manifest", newest_once_both_have_looked)
    with ThreadPoolExecutor(2) as threads:
        manifests = list(threads.map(lambda value: publish_value(lake, value), (1, 2)))
    assert sorted(manifest.version for manifest in manifests) == ["v0001", "v0002"]
    for manifest in manifests:
        assert read_manifest(lake, "samples", manifest.version) == manifest
        assert lake.list("curated", "samples", manifest.version) == ["_manifest.json", "part-00000.parquet"]
        path = lake.path("curated", "samples", manifest.version, "part-00000.parquet")
        assert hash_file(lake, path) == manifest.files[0].sha256
    assert lake.list("_staging") == []


def test_a_truncated_file_is_not_described(lake: Lake) -> None:
    with staged(lake, 1) as path:
        file = Path(path) / FILE
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(DataError, match=r"part-00000.parquet: is not a whole Parquet file"):
            describe_file(lake, str(file), SCHEMA)


def test_a_file_of_another_schema_is_not_described(lake: Lake) -> None:
    other = Unischema("samples", [scalar("patient", str), scalar("value", np.int64)])
    with staged(lake, 1) as path, pytest.raises(DataError, match=r"int32.*int64"):
        describe_file(lake, f"{path}/{FILE}", other)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_file_that_is_not_what_was_written_is_not_published(lake: Lake, damage: Callable[[Path], None]) -> None:
    with staged(lake, 1) as path:
        file = describe_file(lake, f"{path}/{FILE}", SCHEMA)
        damage(Path(path) / FILE)
        with pytest.raises(DataError, match=r"part-00000.parquet: is missing, or is not what was written there"):
            publish_dataset(lake, path, "samples", files=[file], kind="samples", schema=SCHEMA, features={}, inputs={})
    assert dataset_versions(lake, "samples") == []


def test_nothing_accepted_is_nothing_published(lake: Lake) -> None:
    with staging(lake) as path:
        write_part(lake.fs, f"{path}/{FILE}", SCHEMA, [])
        with pytest.raises(DataError, match="nothing was accepted"):
            publish_staged(lake, path)


def test_names_that_are_no_slugs_are_refused(lake: Lake) -> None:
    with staged(lake, 1) as path, pytest.raises(UserError, match=r"dataset '\.\./samples'"):
        publish_staged(lake, path, "../samples")


def test_a_lake_that_is_not_laid_out_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not laid out"):
        publish_value(Lake(f"file://{tmp_path}"), 1)
    assert list(tmp_path.iterdir()) == []

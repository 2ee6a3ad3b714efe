"""Deliveries that lie in HDFS: found inside their folder only, copied to a disk once for all tasks of a machine."""

import os
from pathlib import Path

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.received import find_received, local_copies

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def inbox(cluster: Cluster) -> str:
    """The URI of a folder with a MIRAX slide, which is a file and a folder, and annotations of the same file name."""
    lake = Lake(f"{cluster.uri}/lakes/received")
    for name in ("inbox/a.mrxs", "inbox/a/Slidedat.ini", "inbox/a/Data0000.dat", "inbox/marks/a.mrxs", "outside.svs"):
        lake.write_atomic(name.encode(), *name.split("/"))
    return lake.child_uri("inbox")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.svs", "leaves the manifest's folder"),
        ("/lakes/received/outside.svs", "leaves the manifest's folder"),
        ("a", "does not exist"),
        ("b.svs", "does not exist"),
    ],
)
def test_a_file_that_is_not_in_the_folder_is_refused(inbox: str, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        find_received(inbox, name)


def test_copies_are_whole_and_made_once(inbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DIRS", f"{tmp_path},/nowhere")
    files = {"slide": find_received(inbox, "a.mrxs"), "annotations": find_received(inbox, "a/../marks/a.mrxs")}
    assert files == {"slide": f"{inbox}/a.mrxs", "annotations": f"{inbox}/marks/a.mrxs"}
    with local_copies({"slide": files["slide"]}) as copies:
        slide = copies["slide"]
        assert slide.is_relative_to(tmp_path)
        assert slide.read_bytes() == b"inbox/a.mrxs"
        assert {file.name: file.read_text() for file in slide.with_suffix("").iterdir()} == {
            "Slidedat.ini": "inbox/a/Slidedat.ini",
            "Data0000.dat": "inbox/a/Data0000.dat",
        }
    made = slide.stat().st_ctime_ns
    with local_copies({"slide": files["slide"]}) as copies:
        assert copies["slide"].stat().st_ctime_ns == made
    assert [folder.name for folder in tmp_path.iterdir()] == [f"received-{os.getuid()}"]


def test_a_file_that_is_gone_is_a_reason_not_a_crash(inbox: str) -> None:
    with pytest.raises(DataError, match="or is gone"), local_copies({"slide": f"{inbox}/gone.svs"}):
        pass

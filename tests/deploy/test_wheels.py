"""The wheel tool: edits that do not fit stop the build, and a wheel is built once, whole or not at all."""

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import build
import horovod_edits
import horovod_wheel
import petastorm_edits
import pytest
import wheel_archive
from source_edits import Cut, Edit, EditError, apply_edits


def test_edit_replaces_every_occurrence_it_counted(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("np.string_ + np.string_")
    apply_edits(tmp_path, [Edit("module.py", "np.string_", "np.bytes_", "renamed", count=2)])
    assert (tmp_path / "module.py").read_text() == "np.bytes_ + np.bytes_"


@pytest.mark.parametrize("text", ["np.bytes_", "np.string_ np.string_"])
def test_edit_refuses_a_source_with_another_count(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    with pytest.raises(EditError, match=r"module\.py: expected 1 x 'np\.string_', found [02] \(renamed\)"):
        apply_edits(tmp_path, [Edit("module.py", "np.string_", "np.bytes_", "renamed")])
    assert (tmp_path / "module.py").read_text() == text


def test_edit_refuses_a_release_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"gone\.py: no such file"):
        apply_edits(tmp_path, [Edit("gone.py", "a", "b", "any")])


def test_cut_keeps_its_end_marker() -> None:
    cut = Cut("module.py", "begin", "end", "new ", "any")
    assert cut.apply("head begin middle end tail") == "head new end tail"
    assert Cut("module.py", "begin", "", "new", "any").apply("head begin middle") == "head new"


@pytest.mark.parametrize("text", ["begin only", "end begin", "begin begin end", "begin end end"])
def test_cut_refuses_other_markers(text: str) -> None:
    with pytest.raises(EditError, match=r"module\.py"):
        Cut("module.py", "begin", "end", "", "any").apply(text)


def test_every_edit_says_why() -> None:
    assert all(edit.reason for edit in (*petastorm_edits.EDITS, *horovod_edits.EDITS))


def test_key_follows_recipe_and_versions(tmp_path: Path) -> None:
    def key(*versions: str) -> str:
        return build.cache_key(tmp_path, ["recipe.py"], versions)

    (tmp_path / "recipe.py").write_text("one")
    before = key("2.15.0", "3.11")
    assert before == key("2.15.0", "3.11")
    assert before != key("2.16.0", "3.11")
    (tmp_path / "recipe.py").write_text("two")
    assert before != key("2.15.0", "3.11")


def test_packed_wheel_records_every_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "x-1.dist-info").mkdir(parents=True)
    (tree / "x-1.dist-info" / "RECORD").write_text("stale")
    (tree / "x.py").write_bytes(b"x = 1\n")
    first, second = tmp_path / "first.whl", tmp_path / "second.whl"
    wheel_archive.pack_wheel(tree, "x-1.dist-info", first)
    wheel_archive.pack_wheel(tree, "x-1.dist-info", second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        record = archive.read("x-1.dist-info/RECORD").decode()
    digest = urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    assert record == f"x.py,sha256={digest},6\nx-1.dist-info/RECORD,,\n"


def test_a_failed_build_leaves_nothing_and_a_done_one_is_not_repeated(tmp_path: Path) -> None:
    def fail(work: Path) -> Path:
        (work / "half.whl").write_bytes(b"half")
        raise EditError("no compiler")

    def succeed(work: Path) -> Path:
        (work / "whole.whl").write_bytes(b"whole")
        return work / "whole.whl"

    shelf = tmp_path / "wheels" / "petastorm-0123"
    with pytest.raises(EditError, match="no compiler"):
        build.cached(shelf, fail)
    assert list(shelf.parent.iterdir()) == []
    wheel = build.cached(shelf, succeed)
    assert wheel.read_bytes() == b"whole"
    assert build.cached(shelf, fail) == wheel
    assert [path.name for path in shelf.parent.iterdir()] == [shelf.name]


def test_a_wheel_that_another_process_finished_first_is_taken(tmp_path: Path) -> None:
    shelf = tmp_path / "petastorm-0123"

    def overtaken(work: Path) -> Path:
        shelf.mkdir()
        (shelf / "first.whl").write_bytes(b"first")
        (work / "second.whl").write_bytes(b"second")
        return work / "second.whl"

    assert build.cached(shelf, overtaken).read_bytes() == b"first"


def test_a_wheel_that_does_not_load_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "horovod.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("horovod/__init__.py", "")
        archive.writestr("horovod/torch.py", "raise ImportError('undefined symbol: sum')")
    with pytest.raises(horovod_wheel.BuildError, match=r"(?s)undefined symbol: sum.*Type: make setup"):
        horovod_wheel.require_loads(wheel, tmp_path / "unpacked")

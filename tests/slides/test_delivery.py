from pathlib import Path

import pytest

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.names import slug
from oncotrain.slides.delivery import read_delivery

CONFIG = SlidesConfig(spacing=0.25, tile=512, classes=("epithelial",))


def deliver(folder: Path, table: str, files: str = "a.svs b.svs m.png c.png") -> Path:
    folder.mkdir(exist_ok=True)
    for name in files.split():
        (folder / name).touch()
    path = folder / "slides.csv"
    path.write_text(table)
    return path


def test_rows_become_entries(tmp_path: Path) -> None:
    table = "slide,patient,mpp,mask,part,ward\nb.svs,P2,0.5,,test,x\na.svs,P1,,m.png,,y\n"
    entries, refused = read_delivery(deliver(tmp_path, table), "here", CONFIG)
    assert not refused
    assert [(one.row, one.name, one.patient, one.id, one.mpp, one.part) for one in entries] == [
        (2, "a.svs", "P1", "a.svs", None, ""),
        (1, "b.svs", "P2", "b.svs", 0.5, "test"),
    ]
    folder = tmp_path.resolve()
    assert entries[0].files == {"slide": f"{folder}/a.svs", "mask": f"{folder}/m.png"}


def test_rows_with_one_id_are_regions_of_one_slide(tmp_path: Path) -> None:
    table = "slide,patient,id\nb.svs,P1,S\na.svs,P1,S\n"
    entries, _ = read_delivery(deliver(tmp_path, table), "here", CONFIG)
    assert [(one.name, one.id, one.region) for one in entries] == [("a.svs", "S", 0), ("b.svs", "S", 1)]


def test_a_hospitals_own_column_names_and_only_the_rows_of_the_site(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"columns": {"slide": "file", "site": "hospital"}})
    manifest = deliver(tmp_path, "file,patient,hospital\na.svs,P1,CHU Grenoble\nb.svs,P2,UZ Leuven\n")
    assert [one.name for one in read_delivery(manifest, "uz-leuven", config).entries] == ["b.svs"]
    with pytest.raises(DataError, match="no row belongs to site 'lyon'; sites found: chu-grenoble, uz-leuven"):
        read_delivery(manifest, "lyon", config)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("../outside.svs,P1,,,,,", "leaves the manifest's folder"),
        ("/etc/passwd,P1,,,,,", "leaves the manifest's folder"),
        ("link.svs,P1,,,,,", "leaves the manifest's folder"),
        ("nowhere.svs,P1,,,,,", "does not exist"),
        (",P1,,,,,", "'slide' is empty"),
        ("a.svs,,,,,,", "'patient' is empty"),
        ("a.svs,P1,fine,,,,", "'mpp' must be a number"),
        ("a.svs,P1,,validation,,,", "'part' must be"),
        ("a.svs,P1,,,,,,,Jane Doe 1961", "'cohort' must be a short name"),
        ("a.svs,P1,,,m.png,m.png,", "both 'annotations' and 'mask'"),
        ("a.svs,P1,,,,,c.png", "'class_map' but no 'mask'"),
        ("b.svs,P2,,,,,", "same file as in row 1"),
        ("a.svs,P2,,,,,,b.svs", "another patient's slide"),
    ],
)
def test_a_bad_row_is_refused_and_the_others_go_on(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "outside.svs").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.svs").symlink_to(tmp_path / "outside.svs")
    table = f"slide,patient,mpp,part,annotations,mask,class_map,id,cohort\nb.svs,P9,,,,,,,\n{row}\n"
    entries, refused = read_delivery(deliver(tmp_path / "in", table), "here", CONFIG)
    assert [one.row for one in entries] == [1]
    assert [one.row for one in refused] == [2]
    assert reason in refused[0].reason


def test_a_manifest_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"slides\.csv: column 'patient' \(patient\) is missing; found: slide, name"):
        read_delivery(deliver(tmp_path, "slide,name\n"), "here", CONFIG)
    renamed = CONFIG.model_copy(update={"columns": {"part": "split"}})
    with pytest.raises(UserError, match=r"column 'split' \(part\) is missing"):
        read_delivery(deliver(tmp_path, "slide,patient\n"), "here", renamed)
    with pytest.raises(UserError, match=r"nowhere\.csv: cannot be read"):
        read_delivery(tmp_path / "nowhere.csv", "here", CONFIG)


def test_slugs() -> None:
    assert slug("University Health Network, Toronto") == "university-health-network-toronto"

import stat
from pathlib import Path

import pytest

from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.quarantine import accept, list_refused, refuse


def test_refusals_are_listed_by_source_with_the_newest_reason(lake: Lake) -> None:
    refuse(lake, "tiles", "b/slide.svs", "no mpp")
    refuse(lake, "tiles", "a/slide.svs", "truncated")
    refuse(lake, "tiles", "b/slide.svs", "not a TIFF")
    assert [(one.source, one.reason) for one in list_refused(lake, "tiles")] == [
        ("a/slide.svs", "truncated"),
        ("b/slide.svs", "not a TIFF"),
    ]
    assert list_refused(lake, "samples") == []


def test_a_source_accepted_later_is_no_longer_listed(lake: Lake) -> None:
    refuse(lake, "tiles", "slide.svs", "no mpp")
    accept(lake, "tiles", "slide.svs")
    accept(lake, "tiles", "never-refused.svs")
    assert list_refused(lake, "tiles") == []


def test_a_sources_name_is_behind_a_closed_door_and_in_no_file_name(lake: Lake) -> None:
    refuse(lake, "tiles", "doe-jane.svs", "no mpp")
    zone = Path(lake.path("quarantine"))
    assert stat.S_IMODE(zone.stat().st_mode) == 0o700
    assert not [path for path in zone.rglob("*") if "jane" in path.name]


def test_a_lake_that_is_not_laid_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not laid out"):
        refuse(Lake(f"file://{tmp_path}"), "tiles", "slide.svs", "no mpp")

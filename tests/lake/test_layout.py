import os
import stat
import time
from pathlib import Path

import pytest

from oncotrain.config import load_yaml
from oncotrain.config.layout import Layout
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout, check_layout, load_layout, require_layout


def test_the_package_carries_the_layout_of_hdfs_layout() -> None:
    source = Path(__file__).parents[2] / "hdfs_layout" / "layout.yaml"
    assert load_layout() == load_yaml(source, Layout)


def test_applied_once_there_is_nothing_left_to_do(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}/new/lake")
    assert apply_layout(lake)
    assert apply_layout(lake) == []
    assert check_layout(lake) == []
    assert stat.S_IMODE(Path(lake.root).stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(lake.path("landing")).stat().st_mode) == 0o700


def test_differences_are_said_and_corrected(lake: Lake) -> None:
    Path(lake.path("landing")).chmod(0o755)
    Path(lake.path("splits")).rmdir()
    assert check_layout(lake) == [
        f"{lake.path('landing')}: mode is 0755, should be 0700",
        f"{lake.path('splits')}: is missing",
    ]
    apply_layout(lake)
    assert check_layout(lake) == []


def test_what_outlived_its_retention_is_reported_not_deleted(lake: Lake) -> None:
    old = Path(lake.path("_staging", "left-behind"))
    old.mkdir()
    week_ago = time.time() - 8 * 86_400
    os.utime(old, (week_ago, week_ago))
    assert check_layout(lake) == [f"{old}: older than the retention of 7 days"]
    apply_layout(lake)
    assert old.exists()


def test_a_lake_that_is_not_laid_out_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not laid out.*type: oncotrain layout apply --lake file://"):
        require_layout(Lake(f"file://{tmp_path}"))


def test_a_mode_that_is_no_octal_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "layout.yaml"
    file.write_text("root: {purpose: x, mode: rwx}\nzones: {}\n")
    with pytest.raises(UserError, match=r"'root.mode' has value 'rwx'.*octal"):
        load_yaml(file, Layout)


def test_an_acl_entry_that_the_mode_would_cap_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "layout.yaml"
    zone = "purpose: x, mode: '0710', acl: ['user:analyst:r-x']"
    file.write_text(f"root: {{{zone}}}\nzones: {{}}\n")
    with pytest.raises(UserError, match=r"'user:analyst:r-x' exceeds the group's digit of mode 0710"):
        load_layout(file)
    file.write_text(f"root: {{{zone.replace('0710', '0750')}}}\nzones: {{}}\n")
    assert load_layout(file).root.acl == ("user:analyst:r-x",)

"""The kits' systemd units and YAML files: understood by systemd, and by the commands they name."""

import shutil
import subprocess
from pathlib import Path

import pytest

from oncotrain.config.coordinator import CoordinatorConfig
from oncotrain.config.site import SiteConfig
from oncotrain.federation.site.departure import MARK

ROOT = Path(__file__).parents[2]
SIDES = ("site", "coordinator")


def unit(side: str) -> str:
    return (ROOT / "deploy" / side / f"oncotrain-{side}.service").read_text()


def complaints(text: str, folder: Path) -> str:
    """What systemd says of a unit in which oncotrain is where it is installed here."""
    file = folder / "oncotrain-test.service"
    file.write_text(text.replace("/opt/oncotrain", str(ROOT)))
    return subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False).stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed; type: make setup")
@pytest.mark.parametrize("side", SIDES)
def test_systemd_takes_the_unit(tmp_path, side):
    assert complaints(unit(side), tmp_path) == ""
    broken = unit(side).replace("ProtectSystem=strict", "ProtectSystem=strictly")
    assert "protect system" in complaints(broken, tmp_path)
    assert "not executable" in complaints(unit(side).replace("bin/oncotrain", "bin/onkotrain"), tmp_path)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed; type: make setup")
@pytest.mark.parametrize("side", SIDES)
def test_little_is_left_open(tmp_path, side):
    file = tmp_path / "oncotrain-test.service"
    file.write_text(unit(side))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=40", file]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0, "exposure of at most 4.0 of 10"


def test_the_examples_are_read():
    site = SiteConfig.load(ROOT / "deploy" / "site" / "site.yaml")
    assert site.config == ROOT / "deploy" / "site" / "run.yaml", "relative to the file that names it"
    assert f"ConditionPathExists=!{site.folder / MARK}" in unit("site")
    server = CoordinatorConfig.load(ROOT / "deploy" / "coordinator" / "coordinator.yaml")
    for example in (site, server):
        assert (ROOT / "jobs" / example.job.name).is_file()

"""The witness of who opens which lake sees what it must: planted openings of a foreign lake are caught."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.openings import read_trace, trace_into

PLANTS = {
    "absolute": "open(r'{foreign}/curated/rows.parquet', 'rb')",
    "relative": "import os; os.chdir(r'{own}'); open('../foreign/curated/rows.parquet', 'rb')",
    "link": "open(r'{own}/link/rows.parquet', 'rb')",
    "thread": "import threading; threading.Thread(target=open, args=(r'{foreign}/curated/rows.parquet',)).start()",
    "child": "import subprocess; subprocess.run(['cat', r'{foreign}/curated/rows.parquet'])",
    "missing": "import os; os.path.exists('x') or os.system('cat {foreign}/curated/absent.parquet; true')",
}


@pytest.fixture
def lakes(tmp_path: Path) -> dict[str, Path]:
    lakes = {name: tmp_path / name for name in ("own", "foreign")}
    for lake in lakes.values():
        (lake / "curated").mkdir(parents=True)
        (lake / "curated" / "rows.parquet").write_bytes(b"rows")
    (lakes["own"] / "link").symlink_to(lakes["foreign"] / "curated")
    return lakes


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_opening_of_a_foreign_lake_is_seen(plant, lakes, tmp_path):
    log = tmp_path / "trace"
    code = PLANTS[plant].format(**lakes)
    subprocess.run([*trace_into(log), sys.executable, "-c", code], check=True, capture_output=True)
    assert read_trace(log).opened_under([lakes["foreign"]])


def test_ones_own_lake_is_told_apart(lakes, tmp_path):
    log = tmp_path / "trace"
    code = f"open(r'{lakes['own']}/curated/rows.parquet', 'rb')"
    subprocess.run([*trace_into(log), sys.executable, "-c", code], check=True)
    trace = read_trace(log)
    assert trace.opened_under([lakes["own"]])
    assert not trace.opened_under([lakes["foreign"]])
    assert trace.processes("rows.parquet")

"""An audit in HDFS: lines are appended to the file's end, by one writer at a time, and the last one is found there."""

import subprocess
import sys

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.errors import DataError
from oncotrain.lake import audit
from oncotrain.lake.filesystem import Lake
from support.hadoop import oncotrain

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SITE = "uz-leuven"


@pytest.fixture(scope="module")
def lake(cluster: Cluster) -> Lake:
    lake = Lake(f"{cluster.uri}/lakes/audit")
    done = oncotrain(cluster, "layout", "apply", "--lake", lake.uri)
    assert done.returncode == 0, done.stderr
    return lake


def test_two_writers_and_long_lines_keep_one_chain(lake: Lake) -> None:
    code = (
        "from oncotrain.lake import audit; from oncotrain.lake.filesystem import Lake\n"
        f"for size in (1, 9000, 70000): audit.append(Lake({lake.uri!r}), {SITE!r}, {{'text': 'é' * size}})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(240) for process in processes] == [0, 0]
    head = audit.append(lake, SITE, {"text": ""})
    assert head.number == 6
    assert audit.verify(lake, SITE) == head.sha256
    found = sorted(len(line["event"]["text"]) for line in audit.read(lake, SITE))
    assert found == [0, 1, 1, 9000, 9000, 70000, 70000]


def test_nothing_is_appended_to_a_torn_line(lake: Lake) -> None:
    audit.append(lake, "chu-grenoble", {"rows": 1})
    with lake.fs.open(audit.chain_path(lake, "chu-grenoble"), "ab") as file:
        file.write(b'{"event"')
    with pytest.raises(DataError, match="its last line is cut short"):
        audit.append(lake, "chu-grenoble", {"rows": 2})

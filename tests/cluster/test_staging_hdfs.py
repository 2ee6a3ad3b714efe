"""Work in progress in HDFS, where a process holds its claim by the NameNode's lease, which must be renewed."""

import subprocess
import sys
import time

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.staging import staging

pytestmark = pytest.mark.cluster
SOFT_LIMIT = 60
"""Seconds after which the NameNode takes a lease for lost that is not renewed."""
WORK = """
import sys, time
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.staging import staging
with staging(Lake(sys.argv[1])) as path:
    print(path, flush=True)
    time.sleep(600)
"""


@pytest.mark.timeout(400)
def test_a_claim_lasts_as_long_as_its_process(cluster: Cluster) -> None:
    lake = Lake(f"{cluster.uri}/lakes/staging")
    apply_layout(lake)
    with subprocess.Popen([sys.executable, "-c", WORK, lake.uri], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            path = process.stdout.readline().strip()
            time.sleep(SOFT_LIMIT + 30)
            with staging(lake) as own:
                assert lake.fs.exists(path)
                with staging(lake):
                    assert lake.fs.exists(own)
        finally:
            process.kill()
    with staging(lake):
        assert lake.fs.exists(path)
    time.sleep(SOFT_LIMIT + 30)
    with staging(lake):
        assert not lake.fs.exists(path)
    assert lake.list("_staging") == []

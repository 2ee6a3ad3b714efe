"""Work in progress in HDFS, where a process holds its claim by the NameNode's lease, which must be renewed."""

import time

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.staging import staging
from support.staging import work_in_progress

pytestmark = pytest.mark.cluster
SOFT_LIMIT = 60
"""Seconds after which the NameNode takes a lease for lost that is not renewed."""


@pytest.mark.timeout(400)
def test_a_claim_lasts_as_long_as_its_process(cluster: Cluster) -> None:
    lake = Lake(f"{cluster.uri}/lakes/staging")
    apply_layout(lake)
    with work_in_progress(lake) as path:
        time.sleep(SOFT_LIMIT + 30)
        with staging(lake) as own:
            assert lake.fs.exists(path)
            with staging(lake):
                assert lake.fs.exists(own)
    with staging(lake):
        assert lake.fs.exists(path)
    time.sleep(SOFT_LIMIT + 30)
    with staging(lake):
        assert not lake.fs.exists(path)
    assert lake.list("_staging") == []

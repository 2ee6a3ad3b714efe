"""Work in progress goes with its process, however that ends, and never with another one's."""

import pytest

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.staging import staging
from support.staging import work_in_progress


def test_leaving_by_an_error_leaves_nothing(lake: Lake) -> None:
    def crash() -> None:
        with staging(lake) as path:
            lake.fs.touch(f"{path}/file")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert lake.list("_staging") == []


def test_what_a_killed_process_left_is_removed_by_the_next_one(lake: Lake) -> None:
    with work_in_progress(lake) as path:
        pass
    assert lake.fs.exists(f"{path}/file")
    with staging(lake):
        assert not lake.fs.exists(path)
    assert lake.list("_staging") == []


def test_what_a_living_process_works_on_stays(lake: Lake) -> None:
    with work_in_progress(lake) as path, staging(lake) as own:
        with staging(lake):
            assert lake.fs.exists(own)
            assert lake.fs.exists(f"{path}/file")
        assert lake.fs.exists(own)


def test_a_directory_without_a_claim_is_nobodys(lake: Lake) -> None:
    left = lake.path("_staging", "0" * 32)
    lake.fs.makedirs(left)
    lake.fs.touch(f"{left}/part-00000.parquet")
    with staging(lake):
        assert not lake.fs.exists(left)

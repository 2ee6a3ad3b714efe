"""Work in progress goes with its process, however that ends, and never with another one's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.staging import staging

WORK = """
import sys, time
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.staging import staging
with staging(Lake(sys.argv[1])) as path:
    open(f"{path}/file", "w").close()
    print(path, flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(lake: Lake) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """One that is at work on the directory beside it."""
    with subprocess.Popen([sys.executable, "-c", WORK, lake.uri], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_leaving_by_an_error_leaves_nothing(lake: Lake) -> None:
    def crash() -> None:
        with staging(lake) as path:
            (Path(path) / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert lake.list("_staging") == []


def test_what_a_killed_process_left_is_removed_by_the_next_one(lake: Lake) -> None:
    with another_process(lake) as (process, path):
        process.kill()
    assert (path / "file").exists()
    with staging(lake):
        assert not path.exists()
    assert lake.list("_staging") == []


def test_what_a_living_process_works_on_stays(lake: Lake) -> None:
    with another_process(lake) as (_, path), staging(lake) as own:
        with staging(lake):
            assert Path(own).exists()
            assert (path / "file").exists()
        assert Path(own).exists()
    with staging(lake):
        pass
    assert lake.list("_staging") == []


def test_a_directory_without_a_claim_is_nobodys(lake: Lake) -> None:
    left = Path(lake.path("_staging", "0" * 32))
    left.mkdir()
    (left / "part-00000.parquet").touch()
    with staging(lake):
        assert not left.exists()

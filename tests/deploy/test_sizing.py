"""deploy/sizing.py: laws that its figures keep, and the table it prints."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizing import FILE_BYTES, load, storage

SCRIPT = Path(__file__).parents[2] / "deploy" / "sizing.py"


@given(st.integers(1, 10**9), st.floats(1, 1e7))
def test_files_hold_all_bytes_and_no_file_is_empty(tiles, size):
    stored = storage(tiles, size)
    assert stored.files * FILE_BYTES >= tiles * size > (stored.files - 1) * FILE_BYTES
    assert stored.namenode_objects == 2 * stored.files


def test_twice_the_ranks_halve_the_epoch_and_double_what_hdfs_gives():
    one, two = (load(10**6, 1e5, ranks, 500, 0.5, 32, 10**7, 10) for ranks in (8, 16))
    assert two.epoch_hours == pytest.approx(one.epoch_hours / 2)
    assert two.gigabits_per_second_from_hdfs == pytest.approx(2 * one.gigabits_per_second_from_hdfs)
    assert two.megabytes_per_second_per_rank == one.megabytes_per_second_per_rank == pytest.approx(50)
    assert load(10**6, 1e5, 1, 500, 0.5, 32, 10**7, 10).allreduce_ms == 0
    assert two.allreduce_ms == pytest.approx(2 * 15 / 16 * 4e7 * 8 / 1e10 * 1000)


def test_it_prints_other_numbers():
    options = ["--slides", "10", "--tiles-per-slide", "100", "--ranks", "2"]
    shown = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True).stdout
    assert "| tiles | 1,000 |" in shown
    assert "| epoch on 2 GPUs |" in shown

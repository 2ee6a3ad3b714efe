"""Whatever a file does to its reader, the reader's parent goes on and can say what happened."""

import ctypes
import faulthandler
import os
import time
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import psutil
import pytest

from oncotrain.errors import DataError
from oncotrain.slides import guarded as module
from oncotrain.slides.guarded import Beat, guarded


def test_facts_and_bytes_arrive() -> None:
    data = np.random.default_rng(0).bytes(40 << 20)

    def write(beat: Beat, stream: BinaryIO) -> tuple[str, int, None]:
        stream.write(data[: 10 << 20])
        stream.write(data[10 << 20 :])
        return "rows", 3, beat()

    facts, received = guarded(write)
    assert facts == ("rows", 3, None)
    assert received == data


def refuse(_: Beat, __: BinaryIO) -> None:
    raise DataError("is damaged")


def fail(_: Beat, __: BinaryIO) -> None:
    raise KeyError("Jane Doe")


def crash(_: Beat, __: BinaryIO) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


def complain(_: Beat, __: BinaryIO) -> None:
    print("Jane Doe")
    os.write(1, b"Jane Doe")
    os.write(2, b"Jane Doe")


def test_what_decoders_complain_of_is_in_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(complain)
    assert "Jane" not in "".join(capfd.readouterr())


def leave(_: Beat, __: BinaryIO) -> None:
    os._exit(3)


def hang(beat: Beat, _: BinaryIO) -> None:
    beat()
    time.sleep(60)


def swell(_: Beat, __: BinaryIO) -> int:
    held = [np.ones(16 << 20, np.uint8) for _ in range(100)]
    time.sleep(60)
    return len(held)


def pour(_: Beat, stream: BinaryIO) -> None:
    for _ in range(100):
        stream.write(bytes(16 << 20))
    time.sleep(60)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (refuse, "^is damaged$"),
        (fail, r"^cannot be read \(KeyError in test_guarded.py, line \d+\)$"),
        (crash, "its reader died .SIGSEGV."),
        (leave, "its reader died .exit code 3."),
        (hang, "no progress for 1 s"),
        (swell, "needs more than 1 GiB"),
        (pour, "needs more than 1 GiB"),
    ],
)
def test_what_goes_wrong_is_a_reason(
    work: Callable[[Beat, BinaryIO], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 10.0 if work in (swell, pour) else 1.0)
    monkeypatch.setattr(module, "MEMORY", 1 << 30)
    before = set(psutil.Process().children())
    with pytest.raises(DataError, match=reason):
        guarded(work)
    assert set(psutil.Process().children()) <= before


def test_a_slow_file_that_makes_progress_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)

    def slow(beat: Beat, _: BinaryIO) -> int:
        for _ in range(6):
            time.sleep(0.4)
            beat()
        return 6

    assert guarded(slow) == (6, b"")

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oncotrain.errors import DataError, UserError
from oncotrain.lake import audit
from oncotrain.lake.filesystem import Lake
from support.lakes import make_lake

SITE = "chu-grenoble"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose chain each example writes anew."""
    return make_lake(tmp_path_factory.mktemp("scratch") / "lake")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A chain of eight lines."""
    lake = make_lake(tmp_path_factory.mktemp("chain") / "lake")
    for number in range(8):
        audit.append(lake, SITE, {"action": "send", "bytes": number, "text": "drug [mg/m²]"})
    return get(lake)


def put(lake: Lake, chain: bytes) -> None:
    Path(lake.path("audit", f"{SITE}.jsonl")).write_bytes(chain)


def get(lake: Lake) -> bytes:
    return Path(lake.path("audit", f"{SITE}.jsonl")).read_bytes()


@pytest.fixture
def written(lake: Lake) -> Lake:
    for number in range(5):
        audit.append(lake, SITE, {"action": "send", "bytes": number})
    return lake


def test_the_head_is_the_hash_of_the_last_line(lake: Lake) -> None:
    assert audit.verify(lake, SITE) == audit.GENESIS
    heads = [audit.append(lake, SITE, {"bytes": number}) for number in range(3)]
    assert audit.verify(lake, SITE) == heads[-1].sha256
    assert [head.number for head in heads] == [0, 1, 2]
    assert [line["event"]["bytes"] for line in audit.read(lake, SITE)] == [0, 1, 2]
    assert len({head.sha256 for head in heads}) == 3


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace('"bytes":1', '"bytes":9'), *lines[2:]], 2),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines, lines[-1]], 6),
    ],
    ids=["edited", "removed", "beheaded", "moved", "repeated"],
)
def test_a_broken_chain_names_the_line(written: Lake, damage: Callable[[list[str]], list[str]], line: int) -> None:
    file = Path(written.path("audit", f"{SITE}.jsonl"))
    file.write_text("\n".join(damage(file.read_text().splitlines())) + "\n")
    with pytest.raises(DataError, match=f"{SITE}.jsonl: line {line} was edited, moved, or follows a removed one"):
        audit.verify(written, SITE)


def test_a_cut_tail_shows_in_the_head(written: Lake) -> None:
    head = audit.verify(written, SITE)
    file = Path(written.path("audit", f"{SITE}.jsonl"))
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    assert audit.verify(written, SITE) != head


@given(
    position=st.integers(min_value=0),
    old=st.integers(0, 3),
    new=st.binary(max_size=3),
)
def test_any_other_bytes_are_found(chain: bytes, scratch: Lake, position: int, old: int, new: bytes) -> None:
    """Up to 3 bytes anywhere replaced by up to 3 others, white space and line ends too."""
    position %= len(chain)
    damaged = chain[:position] + new + chain[position + old :]
    # Whole lines missing at the end are left to the heads that the other side keeps.
    assume(damaged != chain and not (chain.startswith(damaged) and damaged.endswith(b"\n")))
    put(scratch, damaged)
    with pytest.raises(DataError, match=rf"{SITE}\.jsonl: "):
        audit.verify(scratch, SITE)


@given(order=st.lists(st.integers(0, 7), max_size=10))
def test_any_other_order_of_the_lines_is_found(chain: bytes, scratch: Lake, order: list[int]) -> None:
    """Lines removed, swapped, repeated, in any way but a cut tail."""
    lines = chain.splitlines(keepends=True)
    assume(order != list(range(len(order))))
    put(scratch, b"".join(lines[number] for number in order))
    first = next(place for place, number in enumerate(order) if place != number) + 1
    with pytest.raises(DataError, match=f"line {first} was edited, moved, or follows a removed one"):
        audit.verify(scratch, SITE)


def test_a_field_said_twice_is_found(written: Lake) -> None:
    """A parser takes the last of two equal keys, a reader may see the first."""
    put(written, get(written).replace(b'"event":{"action"', b'"event":{"bytes":9,"action"', 1))
    with pytest.raises(DataError, match="line 1 was edited"):
        audit.verify(written, SITE)


def test_the_chain_of_another_site_is_none(written: Lake) -> None:
    shutil.copy(written.path("audit", f"{SITE}.jsonl"), written.path("audit", "uz-leuven.jsonl"))
    with pytest.raises(DataError, match=r"uz-leuven\.jsonl: line 1 was edited"):
        audit.verify(written, "uz-leuven")


def test_a_line_that_is_not_json_is_an_error(written: Lake) -> None:
    put(written, get(written) + b"cut sho\n")
    with pytest.raises(DataError, match="is not JSON lines"):
        audit.verify(written, SITE)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda chain: chain + b"cut sho", "its last line is cut short"),
        (lambda chain: chain[:-1], "its last line is cut short"),
        (lambda chain: chain.replace(b'"bytes":4', b'"bytes":9'), "its last line was edited"),
        (lambda chain: chain + b"\n", "is not JSON lines"),
    ],
    ids=["torn", "no line end", "edited", "empty line"],
)
def test_nothing_is_appended_to_a_broken_end(written: Lake, damage: Callable[[bytes], bytes], message: str) -> None:
    damaged = damage(get(written))
    put(written, damaged)
    with pytest.raises(DataError, match=message):
        audit.append(written, SITE, {})
    assert get(written) == damaged


def test_lines_longer_than_what_is_read_at_first(lake: Lake) -> None:
    sizes = [10, 9_000, 200_000, 8_192, 3]
    for size in sizes:
        audit.append(lake, SITE, {"text": "é" * size})
    audit.verify(lake, SITE)
    assert [len(line["event"]["text"]) for line in audit.read(lake, SITE)] == sizes


def test_writers_at_once_keep_one_chain(lake: Lake) -> None:
    """Threads here, and two processes of their own."""
    code = (
        "from oncotrain.lake import audit; from oncotrain.lake.filesystem import Lake\n"
        f"for number in range(40): audit.append(Lake({lake.uri!r}), {SITE!r}, {{'number': number}})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: audit.append(lake, SITE, {"number": number}), range(40)))
    assert [process.wait(120) for process in processes] == [0, 0]
    audit.verify(lake, SITE)
    assert sorted(line["event"]["number"] for line in audit.read(lake, SITE)) == sorted(3 * list(range(40)))


def test_a_site_is_a_slug(lake: Lake) -> None:
    with pytest.raises(UserError, match=r"site '\.\./x'"):
        audit.append(lake, "../x", {})

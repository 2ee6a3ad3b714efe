from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oncotrain.errors import DataError, UserError
from oncotrain.lake import audit
from oncotrain.lake.filesystem import Lake

SITE = "chu-grenoble"


@pytest.fixture
def written(lake: Lake) -> Lake:
    for number in range(5):
        audit.append(lake, SITE, {"action": "send", "bytes": number})
    return lake


def test_the_head_is_the_hash_of_the_last_line(lake: Lake) -> None:
    assert audit.verify(lake, SITE) == audit.GENESIS
    heads = [audit.append(lake, SITE, {"bytes": number}) for number in range(3)]
    assert audit.verify(lake, SITE) == heads[-1]
    assert [line["event"]["bytes"] for line in audit.read(lake, SITE)] == [0, 1, 2]
    assert len(set(heads)) == 3


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


def test_a_line_that_is_not_json_is_an_error(written: Lake) -> None:
    with Path(written.path("audit", f"{SITE}.jsonl")).open("a") as file:
        file.write("cut sho")
    with pytest.raises(DataError, match="is not JSON lines"):
        audit.verify(written, SITE)


def test_writers_at_once_keep_one_chain(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: audit.append(lake, SITE, {"number": number}), range(40)))
    audit.verify(lake, SITE)
    assert sorted(line["event"]["number"] for line in audit.read(lake, SITE)) == list(range(40))


def test_a_site_is_a_slug(lake: Lake) -> None:
    with pytest.raises(UserError, match=r"site '\.\./x'"):
        audit.append(lake, "../x", {})

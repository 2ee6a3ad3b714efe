"""What a security officer is shown of an audit, and what not."""

import io

from rich.console import Console

from oncotrain.lake import audit
from oncotrain.lake.audit_table import audit_table
from oncotrain.lake.filesystem import Lake

SITE = "chu-grenoble"
TRAINED = {
    "action": "federate",
    "kind": "train",
    "run": "r1",
    "round": 2,
    "rows": 1234567,
    "bytes_down": 1000,
    "bytes_up": 2000,
    "model_in_sha256": "a" * 64,
    "model_out_sha256": "b" * 64,
    "refusal": None,
}


def shown(lake: Lake, run: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=180)
    console.print(audit_table(audit.read(lake, SITE), run))
    return console.file.getvalue()


def test_a_message_is_one_row(lake: Lake) -> None:
    audit.append(lake, SITE, TRAINED)
    [row] = [line for line in shown(lake).splitlines() if "train" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[0] == "1"
    assert cells[2:] == ["r1", "2", "train", "1,234,567", "1,000", "2,000", "a" * 10, "b" * 10, ""]


def test_only_what_has_a_column_is_shown(lake: Lake) -> None:
    """Parameters and identifiers have no place in an event; were one there, the table would not show it."""
    audit.append(lake, SITE, {**TRAINED, "parameters": [0.123456], "patient": "p003", "model_in_sha256": None})
    found = shown(lake)
    assert "p003" not in found
    assert "0.123456" not in found


def test_one_run_alone(lake: Lake) -> None:
    for run in ("r1", "r2"):
        audit.append(lake, SITE, {**TRAINED, "run": run})
    assert "r1" not in shown(lake, "r2")
    assert "r2" in shown(lake, "r2")


def test_refusals_pools_and_the_coordinators_lines(lake: Lake) -> None:
    audit.append(lake, SITE, {**TRAINED, "refusal": {"code": 1005, "name": "AUDIT"}})
    audit.append(lake, SITE, {"action": "pool", "to": "hdfs://centre:8020/lake", "bytes": 77, "rows": 5})
    audit.append(lake, SITE, {"action": "send", "kind": "train", "site": "uz-leuven"})
    audit.append(lake, SITE, {"action": "receive", "kind": "train", "site": "uz-leuven"})
    found = shown(lake)
    for text in ("AUDIT", "pool", "77", "train to uz-leuven", "train from uz-leuven"):
        assert text in found


def test_what_the_other_side_wrote_moves_no_terminal(lake: Lake) -> None:
    audit.append(lake, SITE, {**TRAINED, "run": "\x1b[2J[red]r1"})
    found = shown(lake)
    assert "\x1b" not in found
    assert "[2J[red]r1" in found

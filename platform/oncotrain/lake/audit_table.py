"""An audit as a table for a person: what, how much, when; hashes shortened, and nothing else of an event."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

_COLUMNS: dict[str, Literal["left", "right"]] = {
    "line": "right",
    "time (UTC)": "left",
    "run": "left",
    "round": "right",
    "kind": "left",
    "rows": "right",
    "bytes down": "right",
    "bytes up": "right",
    "model in": "left",
    "model out": "left",
    "refusal": "left",
}
_SHORT = 10
"""Characters of a hash that are shown."""


def audit_table(lines: Iterable[Mapping[str, Any]], run: str | None = None) -> Table:
    """One row for each line, as `oncotrain.lake.audit.read` gives them; those of `run` alone, if it is named.

    Down and in are to the site, up and out are from it, in the coordinator's chain too.
    """
    table = Table()
    for name, justify in _COLUMNS.items():
        table.add_column(name, justify=justify, overflow="fold")
    for line in lines:
        if run is None or line["event"].get("run") == run:
            table.add_row(*(Text(_shown(value)) for value in _row(line)))
    return table


def _row(line: Mapping[str, Any]) -> list[Any]:
    event = line["event"]
    return [
        line["number"] + 1,
        line["time"].partition(".")[0].replace("T", " "),
        event.get("run"),
        event.get("round"),
        _kind(event),
        event.get("rows"),
        event.get("bytes_down"),
        event.get("bytes_up", event.get("bytes")),  # a pool moves one way
        (event.get("model_in_sha256") or "")[:_SHORT],
        (event.get("model_out_sha256") or "")[:_SHORT],
        (event.get("refusal") or {}).get("name"),
    ]


def _kind(event: Mapping[str, Any]) -> str:
    """Such as ``train``, of a site; ``train to chu-grenoble`` of the coordinator; ``pool``."""
    way = {"send": "to", "receive": "from"}.get(event.get("action", ""))
    kind = event.get("kind", event.get("action", ""))
    return f"{kind} {way} {event.get('site')}" if way else str(kind)


def _shown(value: Any) -> str:
    """Thousands apart; of a text that another party wrote, what a terminal may be shown."""
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else "".join(letter for letter in str(value) if letter.isprintable())

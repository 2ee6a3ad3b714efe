"""Text edits on somebody else's release: each has a reason, and each must match exactly as often as it says.

A release is pinned by its sha256, so an edit that no longer matches means that the pin moved: stop, and look at the
new source, rather than build something half patched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class EditError(RuntimeError):
    """The source is not the one the edit was written for."""


@dataclass(frozen=True)
class Edit:
    """Replace `old` by `new` in the file `path` (relative to the release), which must hold it `count` times."""

    path: str
    old: str
    new: str
    reason: str
    count: int = 1

    def apply(self, text: str) -> str:
        found = text.count(self.old)
        if found != self.count:
            raise EditError(f"{self.path}: expected {self.count} x {self.old!r}, found {found} ({self.reason})")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Cut:
    """Replace what begins with `start`, and ends before `end`, in the file `path`; each must occur once.

    An empty `end` is the end of the file.
    """

    path: str
    start: str
    end: str
    new: str
    reason: str

    def apply(self, text: str) -> str:
        for marker in filter(None, (self.start, self.end)):
            if text.count(marker) != 1:
                raise EditError(f"{self.path}: expected 1 x {marker!r}, found {text.count(marker)} ({self.reason})")
        begin = text.index(self.start)
        end = text.index(self.end) if self.end else len(text)
        if end <= begin:
            raise EditError(f"{self.path}: {self.end!r} comes before {self.start!r} ({self.reason})")
        return text[:begin] + self.new + text[end:]


def apply_edits(root: Path, edits: Iterable[Edit | Cut]) -> None:
    """Apply `edits` in order to the files below `root`. Raises EditError at the first one that does not fit."""
    for edit in edits:
        target = root / edit.path
        if not target.is_file():
            raise EditError(f"{edit.path}: no such file in the release ({edit.reason})")
        target.write_text(edit.apply(target.read_text(encoding="utf-8")), encoding="utf-8")

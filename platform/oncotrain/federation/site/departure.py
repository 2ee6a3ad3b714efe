"""The site's kill switch: a mark in its own folder, which needs no network and nobody else."""

from datetime import UTC, datetime
from pathlib import Path

from oncotrain.errors import UserError
from oncotrain.federation.identity.private_file import write_private

MARK = "LEFT"


def leave(folder: Path) -> None:
    """Leave the mark. Whoever starts the site's client after that is refused. Raises UserError without the folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; correct the site's YAML, and end the client by its process id")
    write_private(folder / MARK, f"{datetime.now(UTC).isoformat(timespec='seconds')}\n".encode())


def rejoin(folder: Path) -> None:
    """Lift the mark. Raises UserError if there is none."""
    if not (folder / MARK).exists():
        raise UserError(f"{folder}: this site has not left")
    (folder / MARK).unlink()


def require_member(folder: Path) -> None:
    """Raise UserError where the mark is."""
    mark = folder / MARK
    if mark.exists():
        since = mark.read_text(encoding="utf-8").strip()
        raise UserError(f"{mark}: this site left the federation at {since}; to lift that, type: oncotrain site rejoin")

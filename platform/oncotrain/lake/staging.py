"""Work in progress: `_staging/<uuid>`, beside it a claim that its process holds; what nobody holds is removed."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from oncotrain.lake.filesystem import Lake, claimed, is_claimed
from oncotrain.lake.layout import STAGING, require_layout

_CLAIM = ".claim"


@contextmanager
def staging(lake: Lake) -> Iterator[str]:
    """A fresh directory (its path inside the filesystem), removed on leaving unless it was renamed away.

    Directories of processes that were killed are removed first. Raises UserError if the lake is not laid out.
    """
    require_layout(lake)
    _sweep(lake)
    path = lake.path(STAGING, uuid.uuid4().hex)
    with claimed(lake.fs, f"{path}{_CLAIM}"):
        lake.fs.makedirs(path)
        try:
            yield path
        finally:
            if lake.fs.exists(path):
                lake.fs.rm(path, recursive=True)


def _sweep(lake: Lake) -> None:
    """Remove what nobody claims: a directory's claim is there before it is and until after it is gone."""
    visible = [name for name in lake.list(STAGING) if not name.startswith(".")]
    for name in sorted({name.removesuffix(_CLAIM) for name in visible}):
        path = lake.path(STAGING, name)
        if is_claimed(lake.fs, f"{path}{_CLAIM}"):
            continue
        for left in (path, f"{path}{_CLAIM}"):
            with suppress(PermissionError, FileNotFoundError):  # another account's, or another one was faster
                lake.fs.rm(left, recursive=True)

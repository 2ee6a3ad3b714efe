"""The code of a submission: the package as one zip for `--py-files`, the same bytes for the same sources."""

import zipfile
from pathlib import Path

import oncotrain

_LEFT_OUT = {"__pycache__"}
_DAY_ONE = (1980, 1, 1, 0, 0, 0)


def write_code(target: Path) -> Path:
    """Write the installed package `oncotrain` to the zip `target`, and return it."""
    package = Path(oncotrain.__file__).parent
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.rglob("*")):
            if file.is_file() and not _LEFT_OUT.intersection(file.parts):
                entry = zipfile.ZipInfo(str(file.relative_to(package.parent)), _DAY_ONE)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return target

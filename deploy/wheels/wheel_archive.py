"""A wheel from a tree of files: the same tree gives the same bytes."""

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

ZIP_TIME = (2020, 1, 1, 0, 0, 0)


def pack_wheel(tree: Path, dist_info: str, wheel: Path) -> None:
    """Zip `tree` as a wheel, with a RECORD written anew."""
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content, zipfile.ZIP_DEFLATED)

        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            name, content = path.relative_to(tree).as_posix(), path.read_bytes()
            if name == f"{dist_info}/RECORD":
                continue
            add(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.writerow((name, f"sha256={digest}", len(content)))
        rows.writerow((f"{dist_info}/RECORD", "", ""))
        add(f"{dist_info}/RECORD", record.getvalue().encode())

"""The zones of a lake: laid out by `hdfs_layout/layout.yaml`, and compared with it."""

import time
from collections.abc import Iterator
from importlib.resources import as_file, files

from oncotrain.config.layout import Layout, Zone
from oncotrain.config.load import load_yaml
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake, get_access, set_access

STAGING = "_staging"
_DAY = 86_400


def load_layout() -> Layout:
    """The layout this package was installed with (`layout.yaml` beside this file links to `hdfs_layout/`)."""
    with as_file(files("oncotrain.lake") / "layout.yaml") as path:
        return load_yaml(path, Layout)


def apply_layout(lake: Lake) -> list[str]:
    """Create what is missing and correct modes and owners. Returns what was done or is left to do, in words.

    Nothing is deleted. Raises UserError if the account may not.
    """
    fs, done = lake.fs, []
    for path, zone in _directories(lake, load_layout()):
        try:
            if not fs.exists(path):
                fs.makedirs(path, exist_ok=True)
                done.append(f"{path}: created, {zone.purpose}")
            if _access_differences(lake, path, zone):
                set_access(fs, path, zone.bits, zone.owner, zone.group)
                done.append(f"{path}: mode {zone.mode}, owner {get_access(fs, path).owner}")
        except PermissionError as error:
            raise UserError(f"{path}: cannot be laid out ({error})") from None
        done.extend(_quota_differences(lake, path, zone))
    return done


def check_layout(lake: Lake) -> list[str]:
    """Differences between the lake and its layout, in words; none if it is as it should be."""
    differences = []
    for path, zone in _directories(lake, load_layout()):
        if not lake.fs.exists(path):
            differences.append(f"{path}: is missing")
            continue
        differences += _access_differences(lake, path, zone)
        differences += _quota_differences(lake, path, zone)
        differences += _expired(lake, path, zone)
    return differences


def require_layout(lake: Lake) -> None:
    """Raises UserError if a zone is missing, with the command that makes it."""
    missing = [path for path, _ in _directories(lake, load_layout()) if not lake.fs.exists(path)]
    if missing:
        raise UserError(
            f"{lake.uri} is not laid out ({missing[0]} is missing); type: oncotrain layout apply --lake {lake.uri}"
        )


def _directories(lake: Lake, layout: Layout) -> Iterator[tuple[str, Zone]]:
    yield lake.root, layout.root
    for name, zone in layout.zones.items():
        yield lake.path(name), zone


def _access_differences(lake: Lake, path: str, zone: Zone) -> list[str]:
    found = get_access(lake.fs, path)
    differences = []
    if found.mode != zone.bits:
        differences.append(f"{path}: mode is {found.mode:04o}, should be {zone.mode}")
    for what, is_, should_be in (("owner", found.owner, zone.owner), ("group", found.group, zone.group)):
        if should_be is not None and is_ != should_be:
            differences.append(f"{path}: {what} is {is_}, should be {should_be}")
    return differences


def _quota_differences(lake: Lake, path: str, zone: Zone) -> list[str]:
    """Only HDFS has quotas, and only its administrator may set one."""
    if zone.quota_gib is None or not lake.uri.startswith("hdfs:"):
        return []
    if lake.fs.client.get_content_summary(path).space_quota == zone.quota_gib * 2**30:
        return []
    command = f"hdfs dfsadmin -setSpaceQuota {zone.quota_gib}g {path}"
    return [f"{path}: space quota should be {zone.quota_gib} GiB; the HDFS administrator types: {command}"]


def _expired(lake: Lake, path: str, zone: Zone) -> list[str]:
    if zone.retention_days is None:
        return []
    limit = time.time() - zone.retention_days * _DAY
    entries = sorted(str(entry) for entry in lake.fs.ls(path, detail=False))
    old = [entry for entry in entries if lake.fs.modified(entry).timestamp() < limit]
    return [f"{entry}: older than the retention of {zone.retention_days} days" for entry in old]

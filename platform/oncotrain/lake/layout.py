"""The zones of a lake: laid out by `hdfs_layout/layout.yaml`, and compared with it."""

import time
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from oncotrain.config.layout import Layout, Zone
from oncotrain.config.load import load_yaml
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake, get_access, set_access
from oncotrain.lake.hdfs import Hdfs
from oncotrain.lake.quota import get_quota, set_quota

STAGING = "_staging"
_DAY = 86_400


def load_layout(file: Path | None = None) -> Layout:
    """A layout of the administrator's own, or the one this package was installed with (a link to `hdfs_layout/`)."""
    if file is not None:
        return load_yaml(file, Layout)
    with as_file(files("oncotrain.lake") / "layout.yaml") as path:
        return load_yaml(path, Layout)


def apply_layout(lake: Lake, layout: Layout | None = None) -> list[str]:
    """Create what is missing, correct modes, owners, ACLs and quotas. Returns what was done or is left to do, in words.

    Nothing is deleted. Raises UserError if the account may not.
    """
    fs, done = lake.fs, []
    for path, zone in _directories(lake, layout or load_layout()):
        try:
            if not fs.exists(path):
                fs.makedirs(path, exist_ok=True)
                done.append(f"{path}: created, {zone.purpose}")
            if _access_differences(lake, path, zone):
                set_access(fs, path, zone.bits, zone.owner, zone.group)
                done.append(f"{path}: mode {zone.mode}, owner {get_access(fs, path).owner}")
            if _acl_differences(lake, path, zone):
                fs.set_named_acl(path, zone.bits, list(zone.acl))
                done.append(f"{path}: ACL {', '.join(zone.acl) or 'removed'}")
        except PermissionError as error:
            raise UserError(f"{path}: cannot be laid out ({error})") from None
        done.extend(_apply_quota(lake, path, zone))
    return done


def check_layout(lake: Lake, layout: Layout | None = None) -> list[str]:
    """Differences between the lake and its layout, in words; none if it is as it should be."""
    differences = []
    for path, zone in _directories(lake, layout or load_layout()):
        if not lake.fs.exists(path):
            differences.append(f"{path}: is missing")
            continue
        differences += _access_differences(lake, path, zone)
        differences += _acl_differences(lake, path, zone)
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


def _acl_differences(lake: Lake, path: str, zone: Zone) -> list[str]:
    """Only HDFS has ACLs here."""
    if not isinstance(lake.fs, Hdfs):
        return []
    found, expected = lake.fs.named_acl(path), sorted(zone.acl)
    if found == expected:
        return []
    return [f"{path}: ACL is {', '.join(found) or 'empty'}, should be {', '.join(expected) or 'empty'}"]


def _quota_differences(lake: Lake, path: str, zone: Zone) -> list[str]:
    """Only HDFS has quotas."""
    if zone.quota_bytes is None or not isinstance(lake.fs, Hdfs):
        return []
    found = get_quota(lake, path)
    if found == zone.quota_bytes:
        return []
    now = "none" if found is None else f"{found / 2**30:g} GiB"
    return [f"{path}: space quota is {now}, should be {zone.quota_gib} GiB"]


def _apply_quota(lake: Lake, path: str, zone: Zone) -> list[str]:
    differences = _quota_differences(lake, path, zone)
    if not differences or zone.quota_bytes is None:
        return []
    try:
        set_quota(lake, path, zone.quota_bytes)
    except PermissionError:  # only HDFS's administrator may
        return [f"{differences[0]}; its administrator types: hdfs dfsadmin -setSpaceQuota {zone.quota_gib}g {path}"]
    return [f"{path}: space quota {zone.quota_gib} GiB"]


def _expired(lake: Lake, path: str, zone: Zone) -> list[str]:
    if zone.retention_days is None:
        return []
    limit = time.time() - zone.retention_days * _DAY
    entries = sorted(str(entry) for entry in lake.fs.ls(path, detail=False))
    old = [entry for entry in entries if lake.fs.modified(entry).timestamp() < limit]
    return [f"{entry}: older than the retention of {zone.retention_days} days" for entry in old]

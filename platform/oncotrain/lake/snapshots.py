"""What HDFS keeps of deleted files: copies in trash folders, and snapshots, which only Java's client can delete."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.hdfs import Hdfs


def purge_copies(lake: Lake, path: str) -> list[str]:
    """Remove the copies of a deleted `path` that trash folders and snapshots hold; returns where they were.

    A snapshot goes as a whole: nothing can be taken out of one. Only HDFS has either. Raises UserError with the command
    that an administrator has to type where this account may not delete a snapshot.
    """
    if not isinstance(lake.fs, Hdfs):
        return []
    removed = []
    for copy in _in_trash(lake, path):
        lake.fs.rm(copy, recursive=True)
        removed.append(copy)
    for root, name in _snapshots(lake, path):
        _delete_snapshot(lake, root, name)
        removed.append(f"{root}/.snapshot/{name}")
    return removed


def _in_trash(lake: Lake, path: str) -> Iterator[str]:
    for home in _names(lake, "/user"):
        for checkpoint in _names(lake, f"/user/{home}/.Trash"):
            copy = f"/user/{home}/.Trash/{checkpoint}{path}"
            if lake.fs.exists(copy):
                yield copy


def _snapshots(lake: Lake, path: str) -> Iterator[tuple[str, str]]:
    """Folder and name of each snapshot that holds `path`."""
    steps = path.strip("/").split("/")
    for depth in range(len(steps)):
        root, below = "/" + "/".join(steps[:depth]), "/".join(steps[depth:])
        for name in _names(lake, f"{root.rstrip('/')}/.snapshot"):
            if lake.fs.exists(f"{root.rstrip('/')}/.snapshot/{name}/{below}"):
                yield root, name


def _names(lake: Lake, folder: str) -> list[str]:
    try:
        return [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in lake.fs.ls(folder, detail=False)]
    except OSError:  # it is not there, or is no folder with snapshots, or not this account's
        return []


def _delete_snapshot(lake: Lake, root: str, name: str) -> None:
    from py4j.protocol import Py4JJavaError
    from pyspark import SparkContext

    SparkContext._ensure_initialized()  # a JVM with Hadoop's classes, without an application
    java: Any = SparkContext._jvm
    parts = urlsplit(lake.uri)
    try:
        uri = java.java.net.URI(f"{parts.scheme}://{parts.netloc}")
        filesystem = java.org.apache.hadoop.fs.FileSystem.get(uri, java.org.apache.hadoop.conf.Configuration())
        filesystem.deleteSnapshot(java.org.apache.hadoop.fs.Path(root), name)
    except Py4JJavaError as error:
        raise UserError(
            f"{root}/.snapshot/{name} still holds the patient and could not be deleted "
            f"({error.java_exception.getClass().getSimpleName()}); its administrator types: "
            f"hdfs dfs -deleteSnapshot {root} {name}; then run the same command again"
        ) from None

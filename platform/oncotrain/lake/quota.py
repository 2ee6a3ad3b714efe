"""Space quotas of HDFS directories, which only Java's HdfsAdmin can set: the one place of a lake that starts a JVM."""

from typing import Any
from urllib.parse import urlsplit

from oncotrain.lake.filesystem import Lake


def get_quota(lake: Lake, path: str) -> int | None:
    """Bytes, replicas included, that `path` may take; None without a quota."""
    quota = int(lake.fs.client.get_content_summary(path).space_quota)
    return None if quota < 0 else quota


def set_quota(lake: Lake, path: str, limit: int) -> None:
    """Let `path` take `limit` bytes, replicas included.

    Raises PermissionError for an account that is not HDFS's superuser.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark import SparkContext

    SparkContext._ensure_initialized()  # a JVM with Hadoop's classes, without an application
    java: Any = SparkContext._jvm
    parts = urlsplit(lake.uri)
    name = java.java.net.URI(f"{parts.scheme}://{parts.netloc}")
    configuration = java.org.apache.hadoop.conf.Configuration()
    try:
        admin = java.org.apache.hadoop.hdfs.client.HdfsAdmin(name, configuration)
        admin.setSpaceQuota(java.org.apache.hadoop.fs.Path(path), limit)
    except Py4JJavaError as error:
        if "AccessControlException" in str(error):
            raise PermissionError(f"only HDFS's superuser sets the quota of {path}") from None
        raise

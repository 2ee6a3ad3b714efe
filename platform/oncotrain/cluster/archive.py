"""Spark's jars in HDFS, uploaded once a Spark: what `spark.yarn.archive` names, so that submissions carry none."""

import hashlib
import tempfile
import zipfile
from pathlib import Path

import pyspark

from oncotrain.lake.filesystem import open_filesystem, write_atomic


def upload_spark(folder: str) -> str:
    """The URI of `spark-<key>.zip` in the HDFS folder `folder`, a URI; made and uploaded where it is not there.

    The key follows from names and sizes of the jars. 460 MB; the account needs to be allowed to write there.
    """
    jars = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    listing = "\n".join(f"{jar.name} {jar.stat().st_size}" for jar in jars)
    uri = f"{folder}/spark-{hashlib.sha256(listing.encode()).hexdigest()[:20]}.zip"
    fs, path = open_filesystem(uri)
    if not fs.exists(path):
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w") as archive:  # jars are compressed already
                for jar in jars:
                    archive.write(jar, jar.name)
            file.seek(0)
            write_atomic(fs, path, file.read())
    return uri

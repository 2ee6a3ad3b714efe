"""A Hadoop at a hospital, seen from outside its namespace: everything is done by programs that run inside."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.submit import environment
from oncotrain.lake.filesystem import Lake


@dataclass(frozen=True)
class HospitalHadoop:
    """A running cluster behind `prefix`."""

    cluster: Cluster
    prefix: Sequence[str]

    @property
    def variables(self) -> dict[str, str]:
        """With which its clients find it."""
        return environment(self.cluster)

    def python(self, code: str) -> str:
        """Output of Python code that runs there."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-c", code],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def copy_lake(self, lake: Lake) -> str:
        """Put a local lake into HDFS; the copy's URI."""
        uri = f"{self.cluster.uri}/lakes/hospital"
        self.python(
            "from pathlib import Path\n"
            "from oncotrain.lake.filesystem import Lake\n"
            "from oncotrain.lake.layout import apply_layout\n"
            f"lake, root = Lake({uri!r}), Path({lake.root!r})\n"
            "apply_layout(lake)\n"
            "for file in sorted(path for path in root.rglob('*') if path.is_file()):\n"
            "    lake.write_atomic(file.read_bytes(), *file.relative_to(root).parts)\n"
        )
        return uri


@contextmanager
def hospital_hadoop(folder: Path, prefix: Sequence[str], node_memory: int = 4096) -> Iterator[HospitalHadoop]:
    """HDFS and YARN for as long as the context lasts."""
    cluster = Cluster(folder)
    hadoop = HospitalHadoop(cluster, prefix)
    setting = (
        "from pathlib import Path\n"
        "from oncotrain.cluster.folder import Cluster\n"
        "from oncotrain.cluster.local import down, up\n"
        f"cluster = Cluster(Path({str(folder)!r}))\n"
    )
    command = [*prefix, sys.executable, "-c"]
    try:
        done = subprocess.run([*command, f"{setting}up(cluster, {node_memory})"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        yield hadoop
    finally:
        subprocess.run([*command, f"{setting}down(cluster)"], check=True)

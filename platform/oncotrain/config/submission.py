"""What `site.yaml` and `coordinator.yaml` share: a job that is submitted to Spark from a folder of keys."""

from pathlib import Path
from typing import Self

from pydantic import field_validator

from oncotrain.config.load import Frozen


class Submission(Frozen):
    """Paths may be relative to the file that names them."""

    lake: str
    """``file:///path`` or ``hdfs://host:port/path``."""
    config: Path
    """The run's YAML, the same at all participants."""
    folder: Path
    """Keys, certificates and state: a folder that only this account may enter."""
    job: Path
    """``jobs/federated_client.py`` or ``jobs/federated_server.py`` of the installation."""
    master: str = "local[1]"
    """Of Spark: ``yarn``, ``spark://host:port``, ``local[N]``."""
    spark_options: tuple[str, ...] = ()
    """Further options of spark-submit."""

    @field_validator("spark_options")
    @classmethod
    def _stays_here(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(option.startswith("--deploy-mode") for option in value):
            raise ValueError("the job runs in client mode: cluster mode would copy the key to another machine")
        return value

    def beside(self, file: Path) -> Self:
        """The same with absolute paths, where `file` is what names them."""
        base = file.resolve().parent
        return self.model_copy(update={name: base / getattr(self, name) for name in ("config", "folder", "job")})

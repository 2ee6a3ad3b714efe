"""A coordinator's `coordinator.yaml`: everything that its server needs."""

from pathlib import Path
from typing import Self

from pydantic import Field

from oncotrain.config.load import load_yaml
from oncotrain.config.submission import Submission


class CoordinatorConfig(Submission):
    """One coordinator."""

    host: str
    """Address to listen on, such as ``0.0.0.0``."""
    port: int = Field(default=8443, ge=1, le=65535)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `file`. Raises UserError as `load_yaml` does."""
        return load_yaml(file, cls).beside(file)

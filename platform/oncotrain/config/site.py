"""A hospital's `site.yaml`: everything that its client needs to take part in a federation."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, field_validator

from oncotrain.config.load import load_yaml
from oncotrain.config.submission import Submission


class SiteConfig(Submission):
    """One site of one federation."""

    site: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """This site's name, as the coordinator admits it."""
    coordinator: str = Field(pattern=r"^.+:\d+$")
    """``host:port``."""
    engine: Literal["horovod", "ddp", "single"] = "single"
    """What trains here; ``single`` is the client's own process, the others run ranks in Spark's executors."""
    ranks: PositiveInt = 1
    """Slots that train here."""
    secure_aggregation: bool = False
    """Whether the run hides updates: `folder` then also has ``roster.json`` and ``consortium.pub``."""
    apps: tuple[str, ...] = ()
    """SHA-256 of the apps whose messages are answered; none: that of the installed oncotrain."""

    @field_validator("site")
    @classmethod
    def _is_no_coordinator(cls, value: str) -> str:
        if value == "coordinator":
            raise ValueError("the coordinator's own audit has this name; give the site another")
        return value

    @property
    def key(self) -> Path:
        """The site's private key."""
        return self.folder / f"{self.site}.key"

    @property
    def authority(self) -> Path:
        """Certificate of the coordinator's authority, which the coordinator hands out."""
        return self.folder / "authority.pem"

    @property
    def coordinator_key(self) -> Path:
        """Public key by which the coordinator signs its audit, which it hands out."""
        return self.folder / "coordinator.key.pub"

    @property
    def roster(self) -> tuple[Path, Path] | None:
        """The signed list of the sites, and the public key that signed it; None where updates are not hidden."""
        return (self.folder / "roster.json", self.folder / "consortium.pub") if self.secure_aggregation else None

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read `file`. Raises UserError as `load_yaml` does."""
        return load_yaml(file, cls).beside(file)

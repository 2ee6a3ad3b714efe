"""The layout of a lake, as `hdfs_layout/layout.yaml` states it."""

from typing import Annotated

from pydantic import AfterValidator, PositiveInt

from oncotrain.config.load import Frozen


def _octal(value: str) -> str:
    if not (len(value) == 4 and value[0] == "0" and set(value) <= set("01234567")):
        raise ValueError("must be an octal mode in quotes, such as '0700'")
    return value


OctalMode = Annotated[str, AfterValidator(_octal)]


class Zone(Frozen):
    """One top-level directory of a lake."""

    purpose: str
    mode: OctalMode
    owner: str | None = None
    """Account that owns the directory; None: the account that applies the layout."""
    group: str | None = None
    quota_gib: PositiveInt | None = None
    """Space quota in GiB, replicas included, as HDFS counts it; None: no quota."""
    retention_days: PositiveInt | None = None
    """Entries older than this are reported by `oncotrain layout check`; None: kept for ever."""

    @property
    def bits(self) -> int:
        """The mode as permission bits."""
        return int(self.mode, 8)


class Layout(Frozen):
    """A lake's root and its zones, by directory name."""

    root: Zone
    zones: dict[str, Zone]

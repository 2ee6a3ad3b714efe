"""The layout of a lake, as `hdfs_layout/layout.yaml` states it."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from oncotrain.config.load import Frozen


def _octal(value: str) -> str:
    if not (len(value) == 4 and value[0] == "0" and set(value) <= set("01234567")):
        raise ValueError("must be an octal mode in quotes, such as '0700'")
    return value


OctalMode = Annotated[str, AfterValidator(_octal)]
AclEntry = Annotated[str, Field(pattern=r"^(user|group):[A-Za-z_][A-Za-z0-9_.-]*:[r-][w-][x-]$")]


class Zone(Frozen):
    """One top-level directory of a lake."""

    purpose: str
    mode: OctalMode
    owner: str | None = None
    """Account that owns the directory; None: the account that applies the layout."""
    group: str | None = None
    acl: tuple[AclEntry, ...] = ()
    """HDFS only: who else may enter, such as `user:analyst:r-x`."""
    quota_gib: PositiveInt | None = None
    """Space quota in GiB, replicas included, as HDFS counts it; None: no quota."""
    retention_days: PositiveInt | None = None
    """Entries older than this are reported by `oncotrain layout check`; None: kept for ever."""

    @model_validator(mode="after")
    def _mode_masks_acl(self) -> "Zone":
        """HDFS caps named entries by the mode's group digit: one that asks for more would be given less."""
        for entry in self.acl:
            bits = "".join("1" if letter != "-" else "0" for letter in entry.rsplit(":", 1)[-1])
            if int(bits, 2) & ~(self.bits >> 3):
                raise ValueError(f"acl entry {entry!r} exceeds the group's digit of mode {self.mode}, which caps it")
        return self

    @property
    def bits(self) -> int:
        """The mode as permission bits."""
        return int(self.mode, 8)

    @property
    def quota_bytes(self) -> int | None:
        return None if self.quota_gib is None else self.quota_gib * 2**30


class Layout(Frozen):
    """A lake's root and its zones, by directory name."""

    root: Zone
    zones: dict[str, Zone]

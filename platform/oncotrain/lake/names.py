"""Names that become directories of a lake: slugs for sites, datasets, splits and runs; numbered versions."""

import re

from oncotrain.errors import UserError

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VERSION = re.compile(r"v(\d{4,})")


def require_slug(what: str, value: str) -> str:
    """`value`, if it may name `what` (a site, a dataset, ...). Raises UserError if it may not."""
    if not _SLUG.fullmatch(value):
        raise UserError(
            f"{what} {value!r}: allowed are lower-case letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return value


def slug(text: str) -> str:
    """A name fit for a site: 'CHU Grenoble' -> 'chu-grenoble'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def version_number(name: str) -> int | None:
    """The number in a version's directory name, or None if `name` is not one."""
    match = _VERSION.fullmatch(name)
    return int(match[1]) if match else None


def next_version(name: str | None) -> str:
    """The name of the version after `name`; v0001 after None."""
    return f"v{1 + (version_number(name or '') or 0):04d}"

"""Files for their owner's eyes."""

from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from the first byte on; whoever looks sees it whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.replace(path)

"""Flower's command line programs, run so that they keep to themselves."""

import os
import sys
from pathlib import Path

from oncotrain.federation.package import unpacked_code


def executable(name: str) -> str:
    """Path of one of Flower's programs, installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


def environment(home: Path) -> dict[str, str]:
    """The environment of a Flower process whose state and configuration live in `home`.

    Telemetry and update checks, on by default, would connect to hosts outside the federation. Flower starts its own
    programs by name, hence PATH. Its processes look for work every second by default; twice a second takes half a
    second off every message, while ten times a second kept the SuperLink busy on most of a core.
    """
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": os.pathsep.join(filter(None, [*unpacked_code(), os.environ.get("PYTHONPATH")])),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
    }

"""What a probe says, and how a Python component is probed: in an interpreter of its own."""

import subprocess
import sys
from dataclasses import dataclass

_SECONDS = 180


@dataclass(frozen=True)
class Probe:
    """One line of the doctor: a component, its version, whether it works, and what to do if not."""

    name: str
    version: str
    ok: bool
    remedy: str = ""
    optional: bool = False
    """True where a failure stops only a part of the platform that the remedy names."""


def in_own_process(name: str, component: str, remedy: str) -> Probe:
    """Call `component` of `oncotrain.doctor.components`, which returns its version, in a new interpreter.

    So a component that cannot be imported, hangs or takes its process down is one failed line.
    """
    code = f"from oncotrain.doctor import components; print(components.{component}())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Probe(name, "", ok=False, remedy=f"no answer within {_SECONDS} s; {remedy}")
    if done.returncode:
        return Probe(name, "", ok=False, remedy=f"{_last_line(done.stderr)}; {remedy}")
    return Probe(name, _last_line(done.stdout), ok=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"

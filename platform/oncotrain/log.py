"""Log lines that carry site, run and stage, and never a patient identifier."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any


class _Context(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        context = " ".join(f"{key}={value}" for key, value in (self.extra or {}).items() if value)
        return (f"[{context}] {msg}" if context else msg), kwargs


def get_logger(*, site: str = "", run: str = "", stage: str = "") -> logging.LoggerAdapter[logging.Logger]:
    """A logger whose lines start with ``[site=... run=... stage=...]``; stderr, since stdout belongs to results."""
    logger = logging.getLogger("oncotrain")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return _Context(logger, {"site": site, "run": run, "stage": stage})

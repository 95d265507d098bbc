"""Where a run's log lines go: the bridge's into bridge.log, those of the lab's libraries into lab.log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BRIDGE = "shakedown.bridge"


@contextmanager
def logs_into(folder: Path) -> Iterator[None]:
    """Send log lines into `folder` instead of the terminal, and leave logging as it was found."""
    root, bridge = logging.getLogger(), logging.getLogger(BRIDGE)
    handlers = {root: _handler(folder / "lab.log"), bridge: _handler(folder / "bridge.log")}
    before = {logger: (logger.level, logger.propagate) for logger in handlers}
    root.setLevel(logging.WARNING)
    bridge.setLevel(logging.INFO)
    bridge.propagate = False
    for logger, handler in handlers.items():
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, handler in handlers.items():
            logger.removeHandler(handler)
            handler.close()
            logger.level, logger.propagate = before[logger]


def _handler(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler

"""Where a run's log lines go: the bridge's into bridge.log, those of the lab's libraries into lab.log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from shakedown.twin.clock.holding import current_host

BRIDGE = "shakedown.bridge"


@contextmanager
def logs_into(folders: Mapping[str, Path], package: str = BRIDGE) -> Iterator[None]:
    """Send log lines into the folder of each bridge and nowhere else, and leave logging as it was found.

    Those of `package` too are the bridge's. With several bridges in this process, a line is that of the bridge on whose
    host it was written.
    """
    root = logging.getLogger()
    bridges = [logging.getLogger(name) for name in {BRIDGE: 0, package: 0}]
    handlers: list[tuple[logging.Logger, logging.Handler]] = []
    for name, folder in folders.items():
        own = _handler(folder / "bridge.log")
        if len(folders) > 1:
            own.addFilter(partial(_is_of, name))
        handlers += [(root, _handler(folder / "lab.log")), *((bridge, own) for bridge in bridges)]
    before = {logger: (logger.level, logger.propagate) for logger in (root, *bridges)}
    elsewhere, root.handlers = root.handlers, []  # a terminal's, or pytest's
    root.setLevel(logging.WARNING)
    for bridge in bridges:
        bridge.setLevel(logging.INFO)
        bridge.propagate = False
    for logger, handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        root.handlers = elsewhere
        for logger, (level, propagate) in before.items():
            logger.level, logger.propagate = level, propagate


def _is_of(bridge: str, _: logging.LogRecord) -> bool:
    return getattr(current_host.get(), "name", None) == bridge


def _handler(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler

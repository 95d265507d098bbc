"""Where the command line begins: it takes a moment to import, and Ctrl-C is understood from the first one on."""

from __future__ import annotations

import gc
import os
import signal
from typing import NoReturn

from shakedown.scenarios.collector import THRESHOLDS

EXIT_INTERRUPTED = 130  # as in errors.py: nothing is imported yet


def _end(*_: object) -> NoReturn:
    os.write(2, b"interrupted: nothing had begun\n")
    os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """Run the command line."""
    gc.set_threshold(*THRESHOLDS)  # what is imported stays, and need not be walked
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from shakedown.scenarios.cli import main as run

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()

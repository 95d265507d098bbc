"""What ends a command from outside: Ctrl-C, SIGTERM and a closed terminal all end it the same way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and a closed terminal do what Ctrl-C does: everything is taken down first."""
    background = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # `shakedown accept &` in a script
    if background:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {
        number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT)) for number in numbers
    }
    try:
        yield
    except KeyboardInterrupt:
        # everything is down: what is pressed from here on must not change how the process ends
        for number in (signal.SIGINT, *before):
            signal.signal(number, signal.SIG_IGN)
        raise
    except BaseException:
        _restore(before, background=background)
        raise
    _restore(before, background=background)


def _restore(before: dict[signal.Signals, Any], *, background: bool) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
    if background:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

"""What all tests share."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from functools import cache
from unittest import mock

import httpcore2
import pytest

from shakedown.scenarios.collector import THRESHOLDS

# A shell starts a job in the background with Ctrl-C ignored, nohup one with a closed terminal ignored; tests send both,
# to this process and to what it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for cycles rarely, and never in what was imported and collected: this took a quarter of all time."""
    if any(item.get_closest_marker("bench") for item in session.items):
        return  # what is measured is measured as it will run
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def pytest_sessionfinish() -> None:
    """Look for the cycles that are left before xdist waits: pytest does it again at its end, and execnet interrupts a
    worker that then takes five seconds, which reads as a warning."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _certificates_read_once() -> Iterator[None]:
    """Every HTTP client reads all authorities of the machine when it is made, which takes longer than most tests."""
    with mock.patch.object(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context)):
        yield

"""What can end a run other than a verdict, and the exit code of each."""

from __future__ import annotations

EXIT_USAGE = 2
EXIT_HARNESS = 4
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """What was asked cannot be done as asked: names what, where and the remedy (exit code 2)."""


class HarnessFault(Exception):
    """The lab itself failed; never to be read as the bridge's fault (exit code 4)."""

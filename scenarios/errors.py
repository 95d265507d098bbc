"""What can end a run other than a verdict, and the exit code of each."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.ledger import LedgerError
from shakedown.twin.network.errors import NetworkError, NetworkFault

EXIT_USAGE = 2
EXIT_HARNESS = 4
EXIT_INTERRUPTED = 130

_NO_ROOM = "; free space there, or give a run folder on another disk with --out"
REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "; raise the limit on the size of files (ulimit -f), or run for a shorter time",
    errno.EMFILE: "; raise the limit on open files (ulimit -n)",
}


def meant(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known name; nothing if none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


class UsageError(Exception):
    """What was asked cannot be done as asked: names what, where and the remedy (exit code 2)."""


class HarnessFault(Exception):
    """The lab itself failed; never to be read as the bridge's fault (exit code 4)."""


class RunFault(HarnessFault):
    """A run that the lab could not carry to its end: `what` happened, and the folder with what was seen until then."""

    def __init__(self, what: str, folder: Path) -> None:
        super().__init__(f"{what}. What was seen until then is in {folder}")
        self.what, self.folder = what, folder


LAB_ERRORS = (LedgerError, LabServiceError, NetworkError, NetworkFault, OSError)
"""What parts of the lab raise when they cannot do what they were told."""


def in_words(error: BaseException) -> str:
    """What a part of the lab says of its own error, never empty."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}{REMEDIES.get(error.errno or 0, '')}"
    return str(error) or type(error).__name__

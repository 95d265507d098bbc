"""What may be wrong with a journal, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class JournalError(Exception):
    """The journal cannot be used: `what` is wrong, `where`, and the `remedy`."""

    def __init__(self, what: str, where: Path, remedy: str) -> None:
        super().__init__(f"journal {where}: {what}. {remedy}")
        self.what, self.where, self.remedy = what, where, remedy


class JournalFull(JournalError):
    """There is no room on the disk; what was durable still is, and appending works again once there is."""


class JournalDamaged(Exception):
    """The file is damaged: no other try will help, but the next start saves what can be read of it."""

    def __init__(self, fault: object, where: Path) -> None:
        remedy = "Start again: what can be read of it is saved then."
        super().__init__(f"journal {where}: corrupt ({fault}). {remedy}")
        self.fault = fault

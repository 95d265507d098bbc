"""An entry of the journal that is large and changes a little: a whole now and then, and what changed since.

The whole stands under the entry's key, changes under `<key>/0`, `<key>/1`, ... Both begin with the number of the whole
that they belong to, so that changes of an earlier one are passed over until they are written over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

_HEADER = struct.Struct("<4sI")
_MAGIC = b"log3"

CHANGES_MAX = 1000
CHANGES_SHARE = 2
CHANGES_B_MIN = 65_536
"""The whole is written again after so many changes, or when they are together so many times as large as it was."""


@dataclass(frozen=True, slots=True)
class EntryLog:
    """Where the log of one entry stands; it is replaced by its successor once that is in the journal."""

    generation: int = 0
    changes: int = 0
    changes_b: int = 0
    whole_b: int = 0  # 0: there is none yet

    def next(
        self, key: str, whole: Callable[[], bytes], change: bytes | None
    ) -> tuple[Self, dict[str, bytes]]:
        """The log behind what is to be written now, and that; `change` None: a change would not do."""
        most = max(CHANGES_B_MIN, CHANGES_SHARE * self.whole_b)
        if change is None or not self.whole_b or self.changes >= CHANGES_MAX or self.changes_b > most:
            blob, generation = whole(), (self.generation + 1) % 2**32
            after = replace(self, generation=generation, changes=0, changes_b=0, whole_b=len(blob))
            return after, {key: _HEADER.pack(_MAGIC, generation) + blob}
        after = replace(self, changes=self.changes + 1, changes_b=self.changes_b + len(change))
        return after, {f"{key}/{self.changes}": _HEADER.pack(_MAGIC, self.generation) + change}


def read(key: str, stored: Callable[[str], bytes | None]) -> tuple[EntryLog, bytes | None, list[bytes]]:
    """The log, the whole, and the changes since in their order; as an earlier format wrote it that is the whole."""
    if (blob := stored(key)) is None or blob[:4] != _MAGIC:
        return EntryLog(), blob, []
    header, whole = blob[: _HEADER.size], blob[_HEADER.size :]
    changes: list[bytes] = []
    while (change := stored(f"{key}/{len(changes)}")) is not None and change.startswith(header):
        changes.append(change[_HEADER.size :])
    _, generation = _HEADER.unpack(header)
    return EntryLog(generation, len(changes), sum(map(len, changes)), len(whole)), whole, changes

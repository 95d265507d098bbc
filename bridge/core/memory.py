"""What the forwarding remembers over a SIGKILL: an entry in the journal."""

from __future__ import annotations

import msgspec

from shakedown.bridge.core.spans import Span


class Memory(msgspec.Struct, frozen=True):
    """Everything but the rows to be sent: what is neither here nor has arrived is sent again."""

    run: str  # names the journal, in its barriers
    token: int = 0  # newest barrier
    kept: int = 0  # newest retained one that was acknowledged
    keeps: bool = False
    clock_ns: int = 0  # connected time
    host: int | None = None
    is_foreign: bool = False
    is_distrusted: bool = False
    is_renewed: bool = False
    acked: tuple[tuple[int, tuple[Span, ...]], ...] = ()  # connected time of the PUBACK, rows
    doubtful: tuple[Span, ...] = ()

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Memory:
        """Raises ValueError."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise ValueError(f"is not a memory of the forwarding: {error}") from error

"""TLS over the in-memory transport: asyncio's own, which also says what plaintext its records carry."""

# asyncio's stubs do not show the inner parts that are added to here.
# mypy: disable-error-code="attr-defined, union-attr"

from __future__ import annotations

from asyncio import sslproto
from collections.abc import Iterable
from typing import Any


class TracedSSLProtocol(sslproto.SSLProtocol):
    """asyncio's SSLProtocol, whose writes carry their plaintext along.

    Handshakes vary by a few bytes and encryption is random, so the network prices and traces the plaintext. It is
    handed over with the records made of it; a handshake carries none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plain: list[bytes] = []

    def _write_appdata(self, list_of_data: Iterable[bytes]) -> None:
        data = [bytes(piece) for piece in list_of_data]
        if self._state is sslproto.SSLProtocolState.WRAPPED:
            self._plain.extend(data)
        super()._write_appdata(data)

    def _process_outgoing(self) -> None:
        if not self._ssl_writing_paused:
            records = self._outgoing.read()
            if records:
                plain, self._plain = b"".join(self._plain), []
                self._transport.write_carrying(records, plain)
        self._control_app_writing()

"""TLS of the lab's own servers, and what became of those who could not get through it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path


def serving_context(certificate: Path, key: Path, *, clients: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer; with `clients`, the file of an authority, whoever dials must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def report_refusals(context: ssl.SSLContext, on_refused: Callable[[str], None]) -> None:
    """Call `on_refused(reason)` for each handshake that fails by what was said in it: asyncio reports it to nobody."""

    class Handshake(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                on_refused((error.reason or "handshake failed").lower().replace("_", " "))
                raise

    context.sslobject_class = Handshake

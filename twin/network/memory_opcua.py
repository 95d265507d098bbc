"""OPC UA over the in-memory transport: its secured messages also say what they carry, as memory_tls.py does for TLS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_HANDSHAKES = frozenset({431, 461, 464, 467, 470})
"""Binary encodings (Part 6, A) of the answer to GetEndpoints and of CreateSession and ActivateSession, request and
answer: they hold certificates, nonces, signatures and encrypted passwords."""


class Carrying(bytes):
    """Bytes for the wire that carry `plain`: price and trace are those of the plaintext."""

    plain: bytes


def patch() -> Callable[[], None]:
    """Let asyncua's secured channels tell their plaintext, where asyncua is loaded; returns what undoes it."""
    module = sys.modules.get("asyncua.common.connection")
    if module is None:
        return lambda: None
    channel: Any = module.SecureConnection
    original = channel.message_to_binary

    def message_to_binary(self: Any, message: bytes, *args: Any, **kwargs: Any) -> bytes:
        wire = original(self, message, *args, **kwargs)
        if not self.security_policy.AsymmetricSignatureURI:
            return wire  # in the clear
        carrying = Carrying(wire)
        carrying.plain = _plain(wire[:3], message)
        return carrying

    channel.message_to_binary = message_to_binary
    return lambda: setattr(channel, "message_to_binary", original)


def _plain(message_type: bytes, message: bytes) -> bytes:
    """What is the same in every run of a seed: keys and signatures are not, nor is what is made of them."""
    if message_type == b"OPN":
        return message_type
    type_id = int.from_bytes(message[2:4], "little") if message[:1] == b"\x01" else 0  # a four-byte NodeId
    return message[:4] if type_id in _HANDSHAKES else message

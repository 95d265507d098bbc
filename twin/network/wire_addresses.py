"""Which loopback address is which host: one each where the system has many, 127.0.0.1 with other ports where not."""

from __future__ import annotations

import errno
import os
import socket

CLAIM_PORT = 47474
"""Bound (never listened on) at the first address of a block for as long as the block is ours."""
CLAIMS_TRIED_MAX = 200
HOSTS_MAX = 250
_BLOCKS = 254 * 256


class LoopbackAddresses:
    """Addresses for the hosts of one network, in a /24 block of 127/8 that no other network on this machine has.

    Linux answers on all of 127/8; macOS on 127.0.0.1 alone, so there every host gets that one and `listen` finds
    free ports. `only_one` forces the latter.
    """

    def __init__(self, *, only_one: bool = False) -> None:
        self._hosts: dict[str, str] = {}
        self._claim: socket.socket | None = None
        self._block = "" if only_one else self._claim_block()

    def of_host(self, name: str) -> str:
        """The address of a host; the same one whenever it is asked for."""
        if not self._block:
            return "127.0.0.1"
        if name not in self._hosts:
            if len(self._hosts) >= HOSTS_MAX:
                raise ValueError(f"host {name!r}: a network on the wire has room for {HOSTS_MAX} hosts")
            self._hosts[name] = f"{self._block}.{len(self._hosts) + 2}"
        return self._hosts[name]

    def listen(self, name: str, port: int) -> tuple[str, int]:
        """Where a server of that host can bind: the port it wants, or a free one where that cannot be had."""
        address = self.of_host(name)
        if self._block and port and _try_bind(address, port) is None:
            return address, port
        with socket.socket() as sock:
            sock.bind((address, 0))
            return address, sock.getsockname()[1]

    def close(self) -> None:
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _claim_block(self) -> str:
        """Find a free block; empty when this system has one loopback address only."""
        for attempt in range(CLAIMS_TRIED_MAX):
            number = (os.getpid() * 7 + attempt) % _BLOCKS
            block = f"127.{1 + number // 256}.{number % 256}"
            self._claim = socket.socket()
            error = _bind(self._claim, f"{block}.1", CLAIM_PORT)
            if error is None:
                return block
            self._claim.close()
            self._claim = None
            if error != errno.EADDRINUSE:
                break
        return ""


def _try_bind(address: str, port: int) -> int | None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bind(sock, address, port)


def _bind(sock: socket.socket, address: str, port: int) -> int | None:
    """Bind; None when that went well, the errno when not."""
    try:
        sock.bind((address, port))
    except OSError as err:
        return err.errno or errno.EINVAL
    return None

"""Secure channel and session with one OPC UA server, at the level of services, over asyncua's client.

What asyncua does on its own (its publish loop, its supervisor, its reconnect) is left out: it acknowledges before
anything is journalled, and forgets what was in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from shakedown.bridge.secret import Secret
from shakedown.bridge.south.config import OpcUaConfig
from shakedown.bridge.south.decode import Malformed
from shakedown.bridge.south.security import secure

REQUEST_TIMEOUT_S = 10.0
"""How long one service call may take before the connection counts as lost."""

CONNECT_TIMEOUT_S = 3.0
"""How long a TCP connection may take: the system's own retries grow longer than a healed network should wait."""

OPEN_TIMEOUT_S = 15.0
"""How long everything up to the activated session may take."""

FAREWELL_TIMEOUT_S = 2.0
"""How long a polite CloseSession may hold up the end of the bridge."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Channel:
    """One connection at a time; `open()` reuses the session of the one before where the server still has it.

    Raises ConfigError when the password is not where the configuration says.
    """

    def __init__(
        self,
        name: str,
        config: OpcUaConfig,
        connect_to: Mapping[str, tuple[str, int]] | None,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        parts = urlsplit(config.endpoint)
        self._address = (parts.hostname or "", parts.port or 4840)
        if connect_to is not None:
            self._address = connect_to.get("{}:{}".format(*self._address), self._address)
        self._name = name
        self._config = config
        self._on_answer = on_answer
        self._client: Client | None = None
        self._password = Secret(config.password, f"south.{name}.password") if config.password else None

    async def open(self) -> bool:
        """Connect and activate a session; return True when it is the one from before, with its subscriptions.

        Raises OSError, TimeoutError, ua.UaError or Malformed when the server cannot be had now, and
        security.SecurityFileError when a file of the configuration is the reason.
        """
        if self._client is None:
            self._client = self._make_client()
        try:
            with _heeded_cancellation():
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    return await self._open(self._client)
        except TimeoutError as error:
            raise TimeoutError("{}:{} does not answer".format(*self._address)) from error
        except (OSError, ua.UaError):
            raise
        except Exception as error:  # asyncua's decoders raise whatever the bytes make them stumble over
            raise Malformed(f"while connecting: {error!r}") from error

    async def _open(self, client: Client) -> bool:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.uaclient.connect_socket(*self._address)
        await client.send_hello()
        await client.open_secure_channel()
        if client.uaclient.has_session:
            client.uaclient.session.rebind_authentication_token()
            try:
                await self._activate(client)
                return True
            except ua.UaStatusCodeError as error:
                log.info("%s: the session is gone (%s), a new one is made", self._name, error)
                client.uaclient.session.reset_authentication_token()
        await client.create_session()
        await self._activate(client)
        return False

    async def _activate(self, client: Client) -> None:
        """Say who this is: by user name and password where they are configured, else anonymously (Part 4, 5.7.3)."""
        password = self._password.value() if self._password else None
        await client.activate_session(self._config.username or None, password)

    async def renew(self) -> None:
        """Renew the channel's security token at three quarters of its lifetime, for ever (Part 4, 5.6.2)."""
        client = self._connected()
        while True:
            await asyncio.sleep(client.secure_channel_timeout * 0.75 / 1000)
            await client.open_secure_channel(renew=True)
            client.uaclient.revolve_security_token()

    async def call(self, request: Any, response_type: type[T]) -> T:
        """Call a service; raises what `open` raises, ua.UaStatusCodeError for a bad ServiceResult."""
        buffer = await self.call_raw(request)
        try:
            response: Any = struct_from_binary(response_type, buffer)
        except Exception as error:  # asyncua's decoders raise whatever the bytes make them stumble over
            raise Malformed(f"{response_type.__name__}: {error!r}") from error
        response.ResponseHeader.ServiceResult.check()
        return response

    async def call_raw(self, request: Any, timeout_s: float = REQUEST_TIMEOUT_S) -> Buffer:
        """Call a service and return the response's bytes; `timeout_s` 0 waits as long as the connection lives."""
        protocol = self._connected().uaclient.protocol
        if protocol is None:
            raise ConnectionError("not connected")
        answer = await protocol.send_request(request, timeout_s)
        self._on_answer()
        return answer

    def abandon(self) -> None:
        """Drop the connection and keep the session: what the server holds for it is still wanted."""
        if self._client is not None:
            self._client.disconnect_socket()

    async def close(self) -> None:
        """End the session and keep its subscriptions, which the next start takes over; then drop the connection."""
        client = self._client
        if client is None or client.uaclient.protocol is None or client.uaclient.protocol.is_closed:
            return
        request = ua.CloseSessionRequest(DeleteSubscriptions=False)
        with contextlib.suppress(OSError, TimeoutError, ua.UaError):
            await self.call_raw(request, FAREWELL_TIMEOUT_S)
        client.uaclient.session.reset_authentication_token()
        self.abandon()

    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionError("not connected")
        return self._client

    def _make_client(self) -> Client:
        client = Client(self._config.endpoint, timeout=REQUEST_TIMEOUT_S)
        client.name = client.description = "Shakedown bridge"
        client.application_uri = "urn:shakedown:bridge"
        client.product_uri = "urn:shakedown"
        client.session_timeout = int(self._config.session_timeout_s * 1000)
        if self._config.security != "none":
            secure(client, self._config.security, f"south.{self._name}.security")
        return client


@contextlib.contextmanager
def _heeded_cancellation() -> Iterator[None]:
    """Let a cancellation win over what came of the work at the same moment.

    Before Python 3.12 `asyncio.wait_for`, which asyncua connects with, gives the result or error of what has just
    ended instead: whoever stops the bridge would wait for a task that never heard of it.
    """
    task = asyncio.current_task()
    try:
        yield
    finally:
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from None

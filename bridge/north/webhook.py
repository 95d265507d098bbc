"""The CMMS may call the bridge when an order has changed. A call is a hint: it makes the bridge ask earlier.

Nothing of a call is read but its path, which ends in a secret that only the CMMS was told. Polling goes on beside it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.listener import Listener, problem
from shakedown.bridge.north.cmms import Adapter
from shakedown.bridge.north.cmms_http import CmmsRefused, CmmsUnavailable, read_token
from shakedown.bridge.operations_config import WebhookConfig
from shakedown.bridge.yamlfile import ConfigError

KEY = "bridge/webhook"

BY_HAND = "by hand"
"""The id of a webhook that the bridge cannot make."""

CHECK_S = 60.0
"""How often the bridge looks whether the CMMS still knows the webhook."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
"""Delay before another attempt to register; it doubles from the first to the second."""


class Webhook:
    """Listens as configured, registers with the CMMS, and calls `on_hint()`. Raises ConfigError.

    `name` is the edge node's, for the idempotency key. The secret and the CMMS's id survive a restart in the journal.
    """

    def __init__(
        self,
        config: WebhookConfig,
        adapter: Adapter,
        journal: Journal,
        name: str,
        on_hint: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        self._config = config
        self._adapter = adapter
        self._journal = journal
        self._name = name
        self._on_hint = on_hint
        self._log = log
        known = msgspec.msgpack.decode(journal.get(KEY) or b"\x80")
        self._id: str = known.get("id", "")
        self._secret: str = known.get("secret", "") or secrets.token_urlsafe(24)
        if config.token_file:
            self._secret = read_token(config.token_file, "cmms.webhook.token_file")
            if not re.fullmatch(r"[A-Za-z0-9._~-]{16,200}", self._secret):
                where = f"cmms.webhook.token_file: {config.token_file}"
                raise ConfigError(
                    [f"{where} cannot be part of a path - write 16 to 200 of A-Z a-z 0-9 . _ ~ -"]
                )
        self._known_ns = time.time_ns()
        app = Starlette(routes=[Route("/hook/{secret}", self._called, methods=["POST"])])
        self._listener = Listener(app, "webhook", config.host, config.port, log)

    @property
    def counters(self) -> Counter[str]:
        return self._listener.counters

    @property
    def url(self) -> str:
        """What the CMMS is told to call; it holds the secret."""
        base = self._config.url or f"http://{self._config.host}:{self._listener.port}"
        return f"{base}/hook/{self._secret}"

    async def run(self) -> None:
        """Serve until cancelled; an address that is taken ends the bridge with CannotListen."""
        await self._listener.start()
        try:
            await self._keep_registered()
        finally:
            await self._listener.stop()

    async def _called(self, request: Request) -> Response:
        given = request.path_params["secret"]
        if not hmac.compare_digest(given.encode(errors="replace"), self._secret.encode()):
            self._listener.refused("a call without the secret", 404)
            return problem(404, "there is no such webhook")
        self.counters["hints"] += 1
        self._on_hint()
        return Response(status_code=204)

    async def _keep_registered(self) -> None:
        retry_s = RETRY_MIN_S
        while True:
            wait_s = CHECK_S
            try:
                await self._register()
                retry_s = RETRY_MIN_S
            except (CmmsUnavailable, CmmsRefused, JournalError) as error:
                self.counters["registration_failures"] += 1
                self._log.warning("webhook: not registered: %s", str(error).replace(self._secret, "***"))
                wait_s, retry_s = retry_s, min(2 * retry_s, RETRY_MAX_S)
            await asyncio.sleep(wait_s)

    async def _register(self) -> None:
        """Be known to the CMMS; attempts have one key until one succeeds."""
        await self._remember(self._id)  # what is told to the CMMS is on disk
        known = await self._adapter.call_back(self.url, f"{self._name}/webhook/{self._known_ns}")
        self._known_ns = max(time.time_ns(), self._known_ns + 1)  # the next one has a key of its own
        if known is None:
            if self._id != BY_HAND:
                self._log.info("webhook: this CMMS must be told by hand where to call (cmms.webhook)")
                await self._remember(BY_HAND)
        elif known != self._id:
            await self._remember(known)
            self._log.info("webhook: the CMMS calls as its number %s", known)
            self._on_hint()  # what changed before it was there

    async def _remember(self, known: str) -> None:
        content: dict[str, Any] = {"id": known, "secret": self._secret}
        encoded = msgspec.msgpack.encode(content)
        if encoded != self._journal.get(KEY):
            await self._journal.append([], {KEY: encoded})
        self._id = known

"""The storekeeper: tells the CMMS which physical asset does the work of which equipment, as it is swapped in."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpx2

NS_PER_MS = 1_000_000
REQUEST_TIMEOUT_S = 10.0
PAUSE_S = 5.0  # after a request that was not answered; it is repeated until it is

_log = logging.getLogger(__name__)


class Storekeeper:
    """Enters assets and assignments in the CMMS at `url`; `assets` are those of a ledger's header.

    Each is `[equipment, physical_asset, from_ns, to_ns | null]` and is entered when it begins. `run()` goes on until
    cancelled.
    """

    def __init__(self, url: str, assets: Iterable[list[Any]], *, tls: ssl.SSLContext | None = None) -> None:
        self._url, self._tls = url, tls
        self._assets = sorted(assets, key=lambda row: (row[2], row[0]))
        self._known: set[str] = set()

    async def run(self) -> None:
        """Enter what begins when it begins, then wait to be cancelled."""
        async with httpx2.AsyncClient(
            base_url=self._url, timeout=REQUEST_TIMEOUT_S, trust_env=False, verify=self._tls or True
        ) as client:
            for equipment, asset, from_ns, _ in self._assets:
                wait_s = (from_ns - time.time_ns()) / 1e9
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if asset not in self._known:
                    self._known.add(asset)
                    await self._enter(client, "/assets", {"id": asset})
                assignment = {
                    "equipment": equipment,
                    "physical_asset": asset,
                    "from_ms": from_ns // NS_PER_MS,
                }
                await self._enter(client, "/assignments", assignment)
        await asyncio.Event().wait()

    async def _enter(self, client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> None:
        """Ask until there is an answer; raises httpx2.HTTPStatusError for what the CMMS refuses."""
        key = "storekeeper-" + "-".join(str(value).replace(" ", "_") for value in body.values())
        while True:
            try:
                answer = await client.post(path, json=body, headers={"idempotency-key": key})
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return
            except httpx2.TransportError as error:
                _log.info("%s could not be entered yet: %s", path, error)
            await asyncio.sleep(PAUSE_S)

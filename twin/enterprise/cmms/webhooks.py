"""Delivery of webhooks: in order, at least once, with bounded retries; each webhook has a task of its own."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import httpx2
import msgspec

from shakedown.twin.enterprise.cmms.store import Store

ATTEMPTS_MAX = 8  # of one delivery; then it is given up and counted as dropped
PAUSE_S = (1.0, 60.0)  # first and longest pause between attempts; each twice the one before
ANSWER_TIMEOUT_S = 10.0


class Webhooks:
    """Sends what the store has queued, each delivery as `{"id", "event", "ms", "work_order"}` by POST.

    The `id` is the same in every attempt. An answer of 2xx counts as delivered; redirects are not followed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._client: httpx2.AsyncClient | None = None

    async def start(self) -> None:
        """Go on with what is queued."""
        self._client = httpx2.AsyncClient(timeout=ANSWER_TIMEOUT_S, trust_env=False)
        self.wake()

    async def stop(self) -> None:
        """Stop delivering; the queue stays in the store."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.clear()
        self._news.clear()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def wake(self) -> None:
        """Something was queued, or a webhook was made or removed."""
        if self._client is None:
            return
        hooks = {hook["id"]: hook["url"] for hook in self._store.webhooks()}
        for hook in [hook for hook in self._tasks if hook not in hooks]:
            self._tasks.pop(hook).cancel()
            del self._news[hook]
        for hook, url in hooks.items():
            if hook not in self._tasks:
                self._news[hook] = asyncio.Event()
                work = self._serve(self._client, hook, url, self._news[hook])
                self._tasks[hook] = asyncio.get_running_loop().create_task(work, name=f"webhook {hook}")
            self._news[hook].set()

    async def _serve(self, client: httpx2.AsyncClient, hook: int, url: str, news: asyncio.Event) -> None:
        while True:
            news.clear()
            delivery = self._store.next_delivery(hook)
            if delivery is None:
                await news.wait()
                continue
            content = msgspec.json.encode(
                {
                    "id": delivery["id"],
                    "event": delivery["event"],
                    "ms": delivery["ms"],
                    "work_order": msgspec.Raw(delivery["work_order"]),
                }
            )
            is_delivered = await _deliver(client, url, content)
            with self._store.transaction():
                self._store.end_delivery(delivery, delivered=is_delivered)


async def _deliver(client: httpx2.AsyncClient, url: str, content: bytes) -> bool:
    """Send until it is taken, ATTEMPTS_MAX times at most; whether it was taken."""
    pause_s = PAUSE_S[0]
    for attempt in range(ATTEMPTS_MAX):
        if attempt:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S[1])
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                # streamed, so that an answer without end is not read: only its status counts
                headers = {"content-type": "application/json"}
                async with client.stream("POST", url, content=content, headers=headers) as answer:
                    if HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
                        return True
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError):
            continue  # the pause before the next attempt is the answer to every failure
    return False

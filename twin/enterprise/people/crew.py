"""The maintenance crew: takes work orders from the CMMS, travels, repairs, and does the paperwork."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shakedown.twin.enterprise.http_server import HttpServer
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.operator_model import PRIORITIES
from shakedown.twin.line.randomness import stream

REQUEST_TIMEOUT_S = 10.0
PAUSE_S = (
    2.0,
    60.0,
)  # first and longest pause after a request that failed; it is repeated until it is answered
PAPERS_MAX = (
    100  # reports of one person that wait for the CMMS; with more that person waits before the next order
)
ORDERS_SEEN_MAX = 100  # open orders looked at in one poll

_log = logging.getLogger(__name__)


class OpenFault(Protocol):
    """What somebody at the machine finds out."""

    @property
    def alarms(self) -> list[str]: ...
    @property
    def maintenance(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def repair_s(self) -> float: ...


@dataclass(frozen=True)
class CrewParameters:
    """How many people, how far they walk, how often they look; the time to repair is the fault's own."""

    people: int = 1
    poll_s: float = 30.0
    travel_median_s: float = 120.0
    travel_sigma: float = 0.5
    inspect_s: float = 60.0  # to find out that there is nothing to repair

    def __post_init__(self) -> None:
        if not (1 <= self.people <= 100 and self.poll_s > 0 and self.travel_median_s > 0):
            raise ValueError(f"{self}: 1 to 100 people, times above 0 s")


class Crew:
    """The crew of the CMMS at `url`; `open_faults` and `repair` are the line's, `log` is people.jsonl.

    `run()` goes on until cancelled. With `listen` (address, port) and `hook_url`, the address as the CMMS dials it, a
    webhook tells of new orders at once; polling goes on beside it. A person works at one order at a time, the most
    urgent first. Repairs do not wait for the CMMS: what cannot be reported now is reported, in order, when it answers
    again.
    """

    def __init__(
        self,
        url: str,
        *,
        seed: int,
        log: JsonLines,
        open_faults: Callable[[], Mapping[str, OpenFault]],
        repair: Callable[[str], None],
        parameters: CrewParameters | None = None,
        name: str = "crew",
        listen: tuple[str, int] | None = None,
        hook_url: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url, self._name, self._log, self._tls = url, name, log, tls
        self._parameters = parameters or CrewParameters()
        self._open_faults, self._repair = open_faults, repair
        self._listen, self._hook_url = listen, hook_url
        self._draws: np.random.Generator = stream(seed, f"{name}/travel")
        self._taken: set[str] = set()
        self._news = asyncio.Event()
        self.repairs = self.in_vain = self.refused = 0

    async def run(self) -> None:
        """Work until cancelled."""
        server = None
        if self._listen:
            app = Starlette(routes=[Route("/hook", self._on_hook, methods=["POST"])])
            server = HttpServer(app, "the crew's webhook", *self._listen)
            await server.start()
        try:
            async with (
                httpx2.AsyncClient(
                    base_url=self._url, timeout=REQUEST_TIMEOUT_S, trust_env=False, verify=self._tls or True
                ) as client,
                asyncio.TaskGroup() as tasks,
            ):
                if self._hook_url:
                    tasks.create_task(self._register(client), name=f"{self._name} registers its webhook")
                for number in range(1, self._parameters.people + 1):
                    person = f"{self._name} {number}"
                    papers: asyncio.Queue[tuple[str, str, dict[str, str]]] = asyncio.Queue(PAPERS_MAX)
                    tasks.create_task(self._work(client, person, papers), name=person)
                    tasks.create_task(self._report(client, papers), name=f"papers of {person}")
        finally:
            if server:
                await server.stop()

    async def _on_hook(self, request: Request) -> Response:
        self._news.set()
        return Response(status_code=204)

    async def _register(self, client: httpx2.AsyncClient) -> None:
        await self._ask(client, "POST", "/webhooks", {"url": self._hook_url}, f"webhook of {self._name}")

    # -- hands ---------------------------------------------------------------------------------------------------------

    async def _work(
        self, client: httpx2.AsyncClient, person: str, papers: asyncio.Queue[tuple[str, str, dict[str, str]]]
    ) -> None:
        while True:
            order = await self._next_order(client)
            if order is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._parameters.poll_s):
                        await self._news.wait()
                self._news.clear()
                continue
            path = f"/work-orders/{order['id']}"

            async def note(state: str, path: str = path) -> None:
                await papers.put(("PATCH", path, {"state": state, "by": person, "assigned_to": person}))

            await note("assigned")
            await asyncio.sleep(self._travel_s())
            await note("in_progress")
            repaired = await self._at_the_machine(order)
            text = f"repaired {', '.join(repaired)}" if repaired else "found nothing to repair"
            await papers.put(("POST", f"{path}/comments", {"by": person, "text": text}))
            await note("completed")
            await note("closed")

    async def _next_order(self, client: httpx2.AsyncClient) -> dict[str, Any] | None:
        """The most urgent open order that nobody of this crew has taken; it is taken now."""
        try:
            answer = await client.get("/work-orders", params={"state": "open", "limit": ORDERS_SEEN_MAX})
            answer.raise_for_status()
            orders = [order for order in answer.json() if order["id"] not in self._taken]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            _log.info("the CMMS gave no work orders: %s", error)
            return None
        if not orders:
            return None
        order: dict[str, Any] = min(
            orders, key=lambda order: (PRIORITIES.index(order["priority"]), order["id"])
        )
        self._taken.add(order["id"])
        return order

    async def _at_the_machine(self, order: dict[str, Any]) -> list[str]:
        """Repair whatever the order's alarm tells of; the ids of the faults."""
        repaired: list[str] = []
        if self._find(order["alarm"], repaired) is None:  # looked for, and who leaves looks once more
            await asyncio.sleep(self._parameters.inspect_s)
        while (found := self._find(order["alarm"], repaired)) is not None:
            fault, repair_s = found
            begun_ns = time.time_ns()
            await asyncio.sleep(repair_s)
            with contextlib.suppress(LookupError):  # it went away by itself meanwhile
                self._repair(fault)
            self._log.write(
                ["K", time.time_ns(), "repair", {"fault": fault, "order": order["id"], "begun_ns": begun_ns}]
            )
            self.repairs += 1
            repaired.append(fault)
        self.in_vain += not repaired
        return repaired

    def _find(self, alarm: str, repaired: list[str]) -> tuple[str, float] | None:
        """What is to be repaired next: what stopped the machine, and what only begins if nothing has."""
        told = {
            name: fault
            for name, fault in self._open_faults().items()
            if fault.maintenance and alarm in fault.alarms and name not in repaired
        }
        stopped = [name for name, fault in told.items() if fault.stopped]
        found = next(iter(stopped or ([] if repaired else told)), None)
        return None if found is None else (found, told[found].repair_s)

    def _travel_s(self) -> float:
        given = self._parameters
        return given.travel_median_s * math.exp(given.travel_sigma * self._draws.standard_normal())

    # -- papers --------------------------------------------------------------------------------------------------------

    async def _report(
        self, client: httpx2.AsyncClient, papers: asyncio.Queue[tuple[str, str, dict[str, str]]]
    ) -> None:
        """Send what a person has written, in order."""
        count = 0
        while True:
            method, path, body = await papers.get()
            count += 1
            await self._ask(client, method, path, body, f"{path} {body['by']} {count}")

    async def _ask(
        self, client: httpx2.AsyncClient, method: str, path: str, body: dict[str, str], key: str
    ) -> None:
        """Ask until there is an answer; what is refused is given up and counted."""
        pause_s = PAUSE_S[0]
        headers = {"idempotency-key": key.replace(" ", "-")} if method == "POST" else {}
        while True:
            try:
                answer = await client.request(method, path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                _log.info("%s %s failed: %s", method, path, error)
            else:
                if answer.status_code < 500:
                    if not answer.is_success:
                        self.refused += 1
                        _log.warning("%s %s was refused: %s", method, path, answer.text[:500])
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S[1])

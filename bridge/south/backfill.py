"""Filling gaps from the server's history, beside the live values and after them: many nodes in one HistoryRead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from asyncua import ua

from shakedown.bridge.core.model import Reading
from shakedown.bridge.south import services
from shakedown.bridge.south.decode import HistoryPage, Malformed
from shakedown.bridge.south.gaps import Gap
from shakedown.bridge.south.intake import Intake
from shakedown.bridge.south.readings import fill

NODES_MIN = 100
"""Nodes in the first HistoryRead; then as many as bring about `VALUES_PER_READ`, within the server's limit."""

VALUES_PER_READ = 5000
"""Values that one answer should hold: more would hold up the live values, which wait for it to be decoded."""

PAGES_MAX = 10_000
"""Pages that one HistoryRead may take; what lies behind them is declared."""

PAUSE_MAX_S, BEHIND_MAX_S = 1.0, 2.0
"""After a page as long a pause as it took, at most the first; while the live values are behind, at most the second."""

TRIES_MAX = 5
"""Times in a row that the read of one node may fail while the server can be reached; then its gap is declared."""

PASSED_MAX = 1000
"""Gaps of another time that are passed over to find those that fit into one read."""

TICKS_PER_S = 10_000_000

RETRY_S = (1.0, 60.0)
"""Delay after a read that failed: doubles from the first to the second."""


@dataclass(slots=True)
class _Read:
    """One gap in a HistoryRead."""

    number: int
    gap: Gap
    node_id: ua.NodeId
    known: int
    continuation_point: bytes | None = None


class Backfill:
    """Reads the history of open gaps, the oldest first, while there is a connection; what is filled stays filled.

    A task of its own for as long as the south lives: a connection that ends while a page is being journaled must not
    leave the gap behind what is in the journal.
    """

    def __init__(self, intake: Intake, metric_ids: Mapping[tuple[str, str], int]) -> None:
        self._intake = intake
        self._metric_ids = metric_ids
        self._nodes = NODES_MIN
        self._reads: list[_Read] = []  # under way
        self._waiting: list[tuple[int, Gap]] = []  # by age, the oldest at the end
        self._is_new = True  # gaps were opened, or given back
        self._work = asyncio.Event()
        self._connected = asyncio.Event()
        self._connections = 0
        self._live_is_drained = asyncio.Event()
        self._live_is_drained.set()
        intake.on_gaps = self._opened

    def connected(self, is_connected: bool) -> None:
        """Whether the server can be asked."""
        if is_connected:
            self._connections += 1
            self._connected.set()
        else:
            self._connected.clear()

    def live_is_behind(self, is_behind: bool) -> None:
        """Whether the server has more live values to send than it could."""
        if is_behind:
            self._live_is_drained.clear()
        else:
            self._live_is_drained.set()

    async def run(self) -> None:
        """Fill until cancelled."""
        delay_s, failures = RETRY_S[0], 0
        loop = asyncio.get_running_loop()
        self._opened()
        while True:
            await self._work.wait()
            await self._connected.wait()
            began_s = loop.time()
            try:
                await self._fill_some()
            except (OSError, ua.UaError, Malformed) as error:  # a TimeoutError is an OSError
                self._is_new = True
                self._nodes = max(1, self._nodes // 2)
                self._intake.counters["history_failures"] += 1
                self._intake.event("history_not_read", error=f"{type(error).__name__}: {error}")
                failures += len(self._reads) == 1 and self._connected.is_set()
                if failures >= TRIES_MAX:
                    await self._close(self._reads, f"history cannot be read: {type(error).__name__}")
                    failures = 0
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S[1])
            else:
                delay_s, failures = RETRY_S[0], 0
                await self._give_way(loop.time() - began_s)

    def _opened(self) -> None:
        self._is_new = True
        if len(self._intake.gaps):
            self._work.set()

    async def _give_way(self, took_s: float) -> None:
        await asyncio.sleep(min(took_s, PAUSE_MAX_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEHIND_MAX_S):
                await self._live_is_drained.wait()

    async def _fill_some(self) -> None:
        """One HistoryRead with all its pages."""
        self._reads = reads = await self._choose()
        if not reads:
            return
        span = min(read.gap.after for read in reads), max(read.gap.before for read in reads)
        loop = asyncio.get_running_loop()
        nodes, values, connection = len(reads), 0, self._connections
        for _ in range(PAGES_MAX):
            began_s = loop.time()
            intake = self._intake
            intake.counters["history_reads"] += 1
            asked = [(read.node_id, read.continuation_point) for read in reads]
            pages = await services.history(intake.channel, intake.server, *span, asked)
            values += sum(len(page.values) for page in pages)
            await self._take(reads, pages)
            self._reads = reads = [read for read in reads if read.continuation_point]
            if not reads:
                break
            await self._give_way(loop.time() - began_s)
            if self._connections != connection:
                self._is_new = True  # continuation points are those of a session: on from what is journaled
                return
        else:
            await self._close(reads, f"history takes more than {PAGES_MAX} pages")
        if values > 2 * VALUES_PER_READ:
            self._nodes = max(1, nodes // 2)
        elif values < VALUES_PER_READ // 2:
            self._nodes = max(self._nodes, 2 * nodes)

    async def _choose(self) -> list[_Read]:
        """The oldest gap, and others of about the same time: the nodes of one HistoryRead share begin and end."""
        intake = self._intake
        if self._is_new:
            self._is_new, self._waiting = False, intake.gaps.by_age()
        limit = min(self._nodes, intake.server.nodes_per_history_read)
        reads: list[_Read] = []
        gone: list[_Read] = []
        passed: list[tuple[int, Gap]] = []
        while self._waiting and len(reads) < limit and len(passed) < PASSED_MAX:
            number, gap = self._waiting.pop()
            first = reads[0].gap if reads else gap
            longest = 2 * (first.before - first.after) + TICKS_PER_S
            if max(gap.before, first.before) - first.after > longest:
                passed.append((number, gap))
                continue
            node_id = services.node_id_of(gap.node_id, intake.position.namespaces, intake.server)
            if isinstance(node_id, ua.NodeId):
                reads.append(_Read(number, gap, node_id, gap.same))
            else:
                gone.append(_Read(number, gap, ua.NodeId(), 0))
        self._waiting += reversed(passed)
        await self._close(gone, "the node is gone")
        if not self._waiting and not reads and not self._is_new:
            self._work.clear()
        return reads

    async def _take(self, reads: Sequence[_Read], pages: Sequence[HistoryPage]) -> None:
        """Journal one page of each gap, in one transaction."""
        readings: list[Reading] = []
        changed: dict[int, Gap | None] = {}
        hopeless: list[Gap] = []
        for read, page in zip(reads, pages, strict=True):
            read.continuation_point = None
            if page.status in services.MOMENTARY_FAULTS:
                if len(reads) == 1:
                    raise ua.UaStatusCodeError(page.status)
                self._is_new = True  # it takes fewer at a time
                self._nodes = max(1, len(reads) // 2)
                continue
            changed[read.number] = None
            if page.status >= 0x4000_0000:
                hopeless.append(replace(read.gap, why=f"no history: {ua.StatusCode(page.status).name}"))
                continue
            metric_id = self._metric_ids[read.gap.key, read.gap.node_id]
            read.gap, read.known, is_over = fill(read.gap, read.known, metric_id, page.values, readings)
            if page.continuation_point and not is_over:
                read.continuation_point = page.continuation_point
                changed[read.number] = read.gap
            elif not read.gap.reaches_back:
                hopeless.append(replace(read.gap, why="history does not reach back far enough"))
        if changed:
            await self._store(readings, changed, hopeless)

    async def _close(self, reads: Sequence[_Read], why: str) -> None:
        if reads:
            hopeless = [replace(read.gap, why=why) for read in reads]
            await self._store([], dict.fromkeys(read.number for read in reads), hopeless)

    async def _store(
        self, readings: Sequence[Reading], changed: Mapping[int, Gap | None], hopeless: Sequence[Gap]
    ) -> None:
        intake = self._intake
        await intake.journal(readings, intake.gaps.entries(changed))
        intake.gaps.take(changed)
        closed = sum(gap is None for gap in changed.values())
        intake.report(len(readings), closed - len(hopeless), hopeless)

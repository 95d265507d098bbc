"""Cost of one change in the server, from the line's scan to the bytes on the connection, beside bare asyncua.

One round is one scan of 48 signals, published, and answered with one Publish response. The client's side (building the
publish request, decoding the answer) is left out: requests are put into the session as if they had just been decoded.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.uaprocessor import PublishRequestData

from shakedown.twin.servers.opcua import OpcUaServer
from tests.twin.opcua_rig import BareServer, Peer, Tag

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]

SIGNALS = tuple(Tag(f"T{i}", scan_ms=1000) for i in range(48))


class Bench:
    """A server on loopback with one subscription on all signals, its publishing timer stopped and driven by hand."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._start())
        self.scan = 0

    async def _start(self) -> None:
        if self.kind == "bare":
            self.server: Any = BareServer("127.0.0.1", 48_480, SIGNALS)
        else:
            self.server = OpcUaServer("127.0.0.1", 0, SIGNALS, endpoint_name="line1")
        await self.server.start()
        self.peer = Peer(self.server.url)
        await self.peer.open()
        await self.peer.create_session()
        await self.peer.subscribe(60_000)
        await self.peer.monitor(*range(len(SIGNALS)))
        inner = self.server.server if self.kind == "bare" else self.server._server
        self.processor = inner.bserver.clients[0].processor
        self.subscription = inner.iserver.subscription_service.subscriptions[self.peer.subscription_id]
        self.protocol = self.peer.client.uaclient.protocol
        self.protocol.data_received = lambda data: None  # the client costs nothing here
        await self._publish()

    async def _publish(self) -> None:
        header = ua.RequestHeader(RequestHandle=1)
        sequence = ua.SequenceHeader(RequestId=1)
        request = PublishRequestData(header, sequence, [])
        if self.kind == "bare":
            await self.subscription.publish_results(request)
            self.subscription._not_acknowledged_results.clear()
        else:
            self.subscription.session._publish_requests.append(request)
            self.subscription.publish()
            self.subscription.retransmission.clear()

    async def _round(self) -> None:
        self.scan += 1
        changes = [(index, float(self.scan + index), 0) for index in range(len(SIGNALS))]
        await self.server.publish(1_767_592_800_000_000_000 + self.scan * 10**9, changes)
        await self._publish()

    def round(self) -> None:
        self.loop.run_until_complete(self._round())

    async def _end(self) -> None:
        await self.server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:  # the bare server leaves its subscription's and its session's
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def close(self) -> None:
        self.peer.kill()
        self.loop.run_until_complete(self._end())
        self.loop.close()


@pytest.mark.benchmark(group="OPC UA server: one scan of 48 changes")
@pytest.mark.parametrize("kind", ["bare", "corrected"])
def test_scan_of_48_changes(benchmark: Any, kind: str) -> None:
    bench = Bench(kind)
    try:
        benchmark(bench.round)
        benchmark.extra_info["changes"] = len(SIGNALS)
        if benchmark.stats is not None:
            benchmark.extra_info["us_per_change"] = benchmark.stats.stats.median / len(SIGNALS) * 1e6
    finally:
        bench.close()
    if kind == "corrected":
        counters = bench.server.counters
        assert counters.sent == counters.queued == bench.scan * 48 + 48

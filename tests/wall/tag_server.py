"""A PLC of many tags as a process: `tag_server.py TAGS PER_S` says its URL and ends when its standard input does.

Each tag changes so often a second, a part of them every 100 ms, to the number of its change: a loss leaves a hole.
It refuses TransferSubscriptions, as many servers do: whoever comes back begins anew and needs the history.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from asyncua import ua

from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.opcua import OpcUaServer
from shakedown.twin.servers.subscription_service import SubscriptionService
from tests.bridge.south_rig import Tag

STEP_S = 0.1


def refuse(self: SubscriptionService, session: Any, params: ua.TransferSubscriptionsParameters) -> list[Any]:
    bad = ua.StatusCode(ua.StatusCodes.BadServiceUnsupported)
    return [ua.TransferResult(bad, []) for _ in params.SubscriptionIds]


async def main(count: int, per_s: int) -> None:
    # asyncua looks at every node beside a new one: not too many under each
    tags = [Tag(f"T{i}", machine=f"rack_{i % 100}") for i in range(count)]
    limits = OpcUaLimits(monitored_items_per_subscription=count)
    server = OpcUaServer("127.0.0.1", 0, tags, endpoint_name="tags", limits=limits)
    await server.start()
    await server.publish(time.time_ns(), [(i, 0.0, 0) for i in range(count)])
    line = asyncio.create_task(change(server, count, round(1 / STEP_S / per_s)))
    print(server.url, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    line.cancel()
    await server.stop()


async def change(server: OpcUaServer, count: int, parts: int) -> None:
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    for step in range(1_000_000):
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        due_s += STEP_S
        now_ns = time.time_ns() // 10**6 * 10**6
        number = float(step // parts + 1)
        await server.publish(now_ns, [(i, number, 0) for i in range(step % parts, count, parts)])


if __name__ == "__main__":
    SubscriptionService.transfer = refuse  # type: ignore[method-assign]
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

"""A bare asyncua client as a process: `python tag_client.py URL TAGS` prints the seconds until each had a value."""

from __future__ import annotations

import asyncio
import sys
import time

from asyncua import Client, ua

ITEMS_PER_CALL = 1000


async def main(url: str, count: int, began_s: float) -> None:
    seen: set[object] = set()
    async with Client(url, timeout=60, watchdog_intervall=60) as client:
        subscription = await client.create_subscription(500, queue_maxsize=10 * count)
        async with subscription:
            nodes = [client.get_node(ua.NodeId(f"T{i}", 2)) for i in range(count)]
            for start in range(0, count, ITEMS_PER_CALL):
                await subscription.subscribe_data_change(
                    nodes[start : start + ITEMS_PER_CALL], queuesize=1000
                )
            async for event in subscription:
                seen.add(event.node.nodeid)
                if len(seen) == count:
                    break
    print(time.time() - began_s)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

"""Run the CMMS by itself: python -m shakedown.twin.enterprise.cmms --port 8080 --database cmms.sqlite"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.network.proxy import loopback_address


async def serve(cmms: Cmms) -> None:
    """Serve until cancelled, or told to end by SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await cmms.start()
    try:
        print(f"serving the CMMS on http://{cmms.address}:{cmms.port}", flush=True)
        await ended.wait()
    finally:
        await cmms.stop()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A small CMMS on loopback")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 picks a free one")
    parser.add_argument(
        "--database", type=Path, default=Path("cmms.sqlite"), help="SQLite file; made if missing"
    )
    parser.add_argument("--name", default="", help="host name under which clients ask for it too")
    given = parser.parse_args(arguments)
    try:
        address, port = loopback_address(f"{given.host}:{given.port}")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(Cmms(address, port, database=given.database, name=given.name)))
    except (LabServiceError, ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()

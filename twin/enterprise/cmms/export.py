"""What the CMMS holds at the end of a run, read as any client reads it: cmms.jsonl."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import httpx2

from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.jsonl import JsonLines

READ_TIMEOUT_S = 30.0
_PAGE = 50


async def write_log(url: str, log: Path, *, tls: ssl.SSLContext | None = None) -> int:
    """Write every work order of the CMMS at `url` to `log`, one a line; how many there are.

    The last line is `["Z", ns, {"work_orders": n}]`. Raises LabServiceError when the CMMS does not answer as it should.
    """
    lines = JsonLines(log)
    count = 0
    try:
        async with httpx2.AsyncClient(
            base_url=url, timeout=READ_TIMEOUT_S, trust_env=False, verify=tls or True
        ) as client:
            page: str | None = f"/work-orders?limit={_PAGE}"
            while page:
                answer = await client.get(page)
                answer.raise_for_status()
                orders = answer.json()
                lines.write_all(orders)
                count += len(orders)
                page = answer.links.get("next", {}).get("url")
    except (httpx2.HTTPError, ValueError) as error:
        lines.cut()
        raise LabServiceError(
            f"the CMMS at {url} did not give its work orders: {error}; {log} is not whole"
        ) from error
    lines.close(time.time_ns(), work_orders=count)
    return count

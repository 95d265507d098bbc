"""What a web page that somebody has open elsewhere may not do: rebind a name to a service, or write to it."""

from __future__ import annotations

import ipaddress
import json
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


def only_under(names: set[str], app: ASGIApp) -> ASGIApp:
    """`app` for requests whose Host is an IP address, localhost or one of `names`; any other is answered 421.

    A web page whose own name leads to this machine would be of the same origin as the service: its requests show that
    name in the Host header, which a page cannot choose (RFC 9110, 7.4 and 15.5.20).
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "")
        if _is_ours(host, names):
            await app(scope, receive, send)
        else:
            known = ", ".join(sorted({"localhost", *names}))
            detail = f"the Host is {host[:80]!r}; ask for an IP address of this machine, or for: {known}"
            content = json.dumps({"title": "Refused", "status": 421, "detail": detail})
            await Response(content, 421, media_type="application/problem+json")(scope, receive, send)

    return checked


def is_foreign_page(request: Request) -> bool:
    """Whether a page of another origin asks; a program sends no Origin."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _is_ours(authority: str, names: set[str]) -> bool:
    try:
        name = urlsplit(f"//{authority}").hostname or ""
        if name == "localhost" or name in names:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

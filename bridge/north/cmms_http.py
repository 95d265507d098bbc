"""HTTP to a CMMS: bounded in time and size, and of one of three outcomes; nothing that is answered is trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from shakedown.bridge.north.tls import tls_context
from shakedown.bridge.operations_config import CmmsConfig
from shakedown.bridge.yamlfile import ConfigError

ANSWER_BYTES_MAX = 8 << 20
"""Longest answer that is read: an order comes back with its context, up to 4 MiB of it as it was sent."""

READ_MAX, SAID_MAX = 16 << 10, 200
"""Bytes of a refusal that are looked at, characters of it that are logged."""


class CmmsUnavailable(Exception):
    """No answer, or none that says what became of the request: it is tried again with the same key."""


class CmmsRefused(Exception):
    """The CMMS will not take the request as it is (4xx)."""


class CmmsHttp:
    """Requests to the CMMS of `config`; `address` is dialled where the URL's host and port are meant.

    The certificate is verified against the name in the URL, whatever is dialled. Redirects are not followed, cookies
    are not kept. Raises ConfigError: token or certificates cannot be used.
    """

    def __init__(self, config: CmmsConfig, address: tuple[str, int] | None) -> None:
        import httpx2  # only who has a CMMS pays for it

        self._config = config
        self._name, _ = host, port = config.host_port
        scheme, _, rest = config.url.partition("://")
        self._authority, _, path = rest.partition("/")
        dialled, dialled_port = address or (host, port)
        self._url = f"{scheme}://{dialled}:{dialled_port}/{path}".rstrip("/")
        self._token = read_token(config.token_file, "cmms.token_file") if config.token_file else ""
        self._client = httpx2.AsyncClient(
            verify=tls_context(config.tls, "cmms.tls") if config.tls else True,
            timeout=config.timeout_s,
            trust_env=False,
            limits=httpx2.Limits(max_connections=4, max_keepalive_connections=2),
        )

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded JSON of a 2xx answer. Raises CmmsUnavailable, CmmsRefused."""
        import httpx2

        try:
            async with asyncio.timeout(self._config.timeout_s):
                status, content = await self._exchange(method, path, body, headers)
            if 200 <= status < 300:
                return msgspec.json.decode(content) if content else None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError) as error:
            text = self._readable(f"{type(error).__name__} {error}")
            raise CmmsUnavailable(
                f"{method} {path}: {text}"
            ) from None  # what is behind it may hold the token
        said = self._readable(content[:READ_MAX].decode(errors="replace"))[:SAID_MAX]
        if status in (401, 403):
            raise CmmsUnavailable(f"{method} {path}: {status} {self._unknown()} - {said}")
        if status in (408, 425, 429) or not 400 <= status < 500:
            raise CmmsUnavailable(f"{method} {path}: {status} {said}")
        raise CmmsRefused(f"{method} {path}: {status} {said}")

    async def close(self) -> None:
        await self._client.aclose()

    async def _exchange(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        given = {"Host": self._authority, "Accept-Encoding": "identity", **(headers or {})}
        if self._token:
            given["Authorization"] = f"Bearer {self._token}"
        request = self._client.build_request(
            method, self._url + path, json=body, headers=given, extensions={"sni_hostname": self._name}
        )
        content = bytearray()
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            async for (
                piece
            ) in answer.aiter_raw():  # as it comes: nothing small is made large by decompression
                content += piece
                if len(content) > ANSWER_BYTES_MAX:
                    raise CmmsUnavailable(
                        f"{method} {path}: an answer of more than {ANSWER_BYTES_MAX:,} bytes"
                    )
        finally:
            await answer.aclose()
            self._client.cookies.clear()
        return answer.status_code, bytes(content)

    def _unknown(self) -> str:
        """What to do when the CMMS does not know the bridge; a token that was renewed on the disk is taken up."""
        path = self._config.token_file
        if not path:
            return "the CMMS asks who it is: configure cmms.token_file"
        try:
            self._token = read_token(path, "cmms.token_file")
        except ConfigError as error:
            return str(error)
        return f"the CMMS does not accept the token of cmms.token_file ({path}): renew it"

    def _readable(self, text: str) -> str:
        """Fit for a log: one line, and without the token even if the CMMS repeats it."""
        if self._token:
            text = text.replace(self._token, "***")
        return "".join(letter if letter.isprintable() else "?" for letter in text).strip()


def read_token(path: str, where: str) -> str:
    """The token in a file; errors name the key `where` and never the token. Raises ConfigError."""
    try:
        token = Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(
            [f"{where}: {path} cannot be read: {error.strerror} - put the file there or mend the path"]
        ) from None
    except UnicodeDecodeError:
        token = ""
    if not 0 < len(token) <= 4096 or not all("!" <= letter <= "~" for letter in token):
        raise ConfigError(
            [f"{where}: {path} holds no token - write one line of visible ASCII, without spaces"]
        )
    return token

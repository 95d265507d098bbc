"""A Toxiproxy server, ours or Shopify's: its process, and toxiproxy-python made fit to trust.

toxiproxy-python keeps the server's address in a class, has no time limit, lets a 500 pass for success (so `enable()`
of a proxy whose port is taken looks fine) and accepts misspelled attributes. Here each call binds the address under a
lock, is limited in time, and what was set is read back and compared.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import toxiproxy.api
from toxiproxy import Proxy, Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from shakedown.twin.network.errors import NetworkFault
from shakedown.twin.network.proxy import loopback_address

HTTP_TIMEOUT_S = 10.0
RELEASE_KB_S = 1_000_000
"""The rate at which what a stall held is let go: no limit on loopback."""
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
STARTS_TRIED_MAX = 3

_library_lock = threading.Lock()  # the library's address is one for the whole process


@dataclass(frozen=True)
class ToxicSpec:
    """A toxic as it is wanted; two are equal when Toxiproxy would show them equal."""

    name: str
    type: str
    stream: str
    attributes: dict[str, int] = field(default_factory=dict)
    toxicity: float = 1.0


class _LimitedSession(requests.Session):
    """HTTP with a time limit, without the environment's proxies, and with 5xx as an error."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", HTTP_TIMEOUT_S)
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.ConnectionError as err:
            raise NetworkFault(
                f"no Toxiproxy server answers at {url}; start it, or give another address"
            ) from err
        except requests.RequestException as err:
            raise NetworkFault(f"{method} {url}: {err}; is the Toxiproxy server still running?") from err
        if response.status_code >= 500:
            raise NetworkFault(
                f"{method} {url} answered {response.status_code} {response.text.strip()}; "
                "a port that is taken, or a receiver that reads nothing while held bytes are let go"
            )
        return response


class ToxiproxyClient:
    """One Toxiproxy server; every method blocks, for `HTTP_TIMEOUT_S` a request at most, and raises NetworkFault."""

    def __init__(self, url: str) -> None:
        self._host, self._port = _server_address(url)
        self._session = _LimitedSession()
        self._session.trust_env = False
        self.version = str(self._get("/version").get("version", ""))
        self.is_ours = self.version.endswith("+shakedown")

    def create(self, name: str, listen: str, upstream: str) -> tuple[str, int]:
        """Make a proxy; returns where it listens."""
        with self._library(f"proxy {name} from {listen} to {upstream}"):
            proxy = Toxiproxy().create(upstream=upstream, name=name, listen=listen)
        host, port = loopback_address(proxy.listen)
        shown = self.show(name)
        if (shown["upstream"], shown["enabled"]) != (upstream, True):
            raise NetworkFault(f"proxy {name} was made for {upstream}, enabled, and reads back as {shown}")
        return host, port

    def destroy(self, name: str) -> None:
        with self._library(f"delete proxy {name}"):
            _handle(name).destroy()

    def show(self, name: str) -> dict[str, Any]:
        """The proxy as the server has it, toxics included."""
        return self._get(f"/proxies/{name}")

    def apply(self, name: str, toxics: list[ToxicSpec], *, enabled: bool) -> None:
        """Bring a proxy to exactly these toxics and this state, and see by reading back that it got there."""
        wanted = {toxic.name: toxic for toxic in toxics}
        present = {toxic.name: toxic for toxic in _toxics_of(self.show(name))}
        gone = [present[key] for key in present.keys() - wanted.keys()]
        with self._library(f"proxy {name}"):
            proxy = _handle(name)
            _release(name, gone)
            for toxic in gone:
                proxy.destroy_toxic(toxic.name)
            for toxic in toxics:
                if toxic.name not in present:
                    _add(proxy, toxic)
                elif present[toxic.name] != toxic:
                    _update(name, toxic.name, toxic.attributes)
            if self._enabled(name) != enabled:
                (proxy.enable if enabled else proxy.disable)()
        self.verify(name, toxics, enabled=enabled)

    def verify(self, name: str, toxics: list[ToxicSpec], *, enabled: bool) -> dict[str, Any]:
        """Read a proxy back over HTTP and compare; raises NetworkFault when it is not as it should be."""
        shown = self.show(name)
        present = {toxic.name: toxic for toxic in _toxics_of(shown)}
        wanted = {toxic.name: toxic for toxic in toxics}
        if present != wanted or shown["enabled"] != enabled:
            raise NetworkFault(
                f"proxy {name} should have toxics {list(wanted.values())} and enabled={enabled}, and reads back "
                f"{list(present.values())} and enabled={shown['enabled']}; does anybody else use this server?"
            )
        return shown

    def end_connections(self, name: str, toxics: list[ToxicSpec], *, enabled: bool) -> None:
        """End the existing connections and bring the proxy to what is wanted, as `apply` does.

        Our own server ends them with RST. Shopify's closes them, and the proxy is made anew: what its old links hold
        for peers that have gone stays behind with them, where a toxic that is removed would wait for it.
        """
        if self.is_ours:
            with self._library(f"end the connections of proxy {name}"):
                APIConsumer.post(f"/proxies/{name}/reset")
        else:
            shown = self.show(name)
            with self._library(f"make proxy {name} anew"):
                proxy = _handle(name)
                proxy.disable()
                _release(name, _toxics_of(shown))  # its old links end
                proxy.destroy()
                Toxiproxy().create(
                    upstream=shown["upstream"], name=name, listen=shown["listen"], enabled=False
                )
                for toxic in toxics:
                    _add(proxy, toxic)
        self.apply(name, toxics, enabled=enabled)

    def counters(self) -> dict[str, Any]:
        """What our own server counted, by proxy name; empty with Shopify's."""
        return self._get("/counters") if self.is_ours else {}

    def close(self) -> None:
        self._session.close()

    def _enabled(self, name: str) -> bool:
        return bool(APIConsumer.get(f"/proxies/{name}").json()["enabled"])

    def _get(self, path: str) -> dict[str, Any]:
        with self._library(f"GET {path}"):
            return dict(APIConsumer.get(path).json())

    @contextlib.contextmanager
    def _library(self, what: str) -> Iterator[None]:
        """Point toxiproxy-python at this server and through the limited session, for one call."""
        with _library_lock:
            before = APIConsumer.host, APIConsumer.port, toxiproxy.api.requests
            APIConsumer.host, APIConsumer.port = self._host, self._port
            toxiproxy.api.requests = self._session
            try:
                yield
            except (NotFound, InvalidToxic, ProxyExists) as err:
                raise NetworkFault(f"{what}: the Toxiproxy server answered {err.args[0]!r}") from err
            except (KeyError, requests.JSONDecodeError) as err:
                raise NetworkFault(f"{what}: not the answer of a Toxiproxy 2 server ({err!r})") from err
            finally:
                APIConsumer.host, APIConsumer.port, toxiproxy.api.requests = before


def _handle(name: str) -> Proxy:
    """The library's noun for a proxy that is known by name."""
    return Proxy(name=name, upstream="", listen="", enabled=True)


def _add(proxy: Proxy, toxic: ToxicSpec) -> None:
    proxy.add_toxic(name=toxic.name, type=toxic.type, stream=toxic.stream, attributes=toxic.attributes)


def _update(proxy: str, toxic: str, attributes: dict[str, int]) -> None:
    APIConsumer.post(f"/proxies/{proxy}/toxics/{toxic}", json={"attributes": attributes})


def _release(proxy: str, toxics: list[ToxicSpec]) -> None:
    """Let go what stalls hold, before they are removed.

    Shopify's server passes on what a removed toxic holds under the lock that a link needs to end: when the peer has
    gone, it waits 5 s for each chunk. An update passes on one and lets the lock go.
    """
    for toxic in toxics:
        if toxic.attributes == {"rate": 0}:
            _update(proxy, toxic.name, {"rate": RELEASE_KB_S})


def _toxics_of(shown: dict[str, Any]) -> list[ToxicSpec]:
    keys = ("name", "type", "stream", "attributes", "toxicity")
    return [ToxicSpec(*(toxic[key] for key in keys)) for toxic in shown["toxics"]]


def _server_address(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        return loopback_address(f"{parts.hostname}:{parts.port or 8474}")
    except ValueError as err:
        raise NetworkFault(
            f"--toxiproxy {url}: {err}; its proxies must be reachable on this machine's loopback, so give an "
            "address like http://127.0.0.1:8474"
        ) from err


class ToxiproxyProcess:
    """A Toxiproxy server as a process of our own on a free loopback port; ends with `close`, or with us."""

    def __init__(self, program: Path | None) -> None:
        """Start `program` (a toxiproxy-server), or the built-in one when None; `wait` says when it answers."""
        self._program = program
        self._process: subprocess.Popen[bytes]
        self._launch()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        """The address of its HTTP API."""
        return f"http://127.0.0.1:{self._port}"

    def wait(self) -> ToxiproxyClient:
        """Wait for the server to answer; raises NetworkFault after `START_TIMEOUT_S`."""
        for _ in range(STARTS_TRIED_MAX):
            try:
                return self._wait_once()
            except ChildProcessError:  # its port was taken between our look and its bind
                self.close()
                self._launch()
        raise NetworkFault(
            f"{self._command()[0]} ended {STARTS_TRIED_MAX} times before it served; run it by hand"
        )

    def close(self) -> None:
        """End the process and wait until it has gone."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _launch(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self._port = sock.getsockname()[1]
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"LOG_LEVEL": "error"},
            start_new_session=True,  # Ctrl-C is ours to handle: the proxies outlive the bridge's polite good-bye
        )

    def _command(self) -> list[str]:
        if self._program is None:
            module = "shakedown.twin.network.proxy_api"
            return [sys.executable, "-m", module, "--port", str(self._port), "--until-stdin-ends"]
        watch = shutil.which("setpriv")  # Linux: the kernel ends the server when we are killed
        prefix = [watch, "--pdeathsig", "TERM"] if watch else []
        return [*prefix, str(self._program), "-host", "127.0.0.1", "-port", str(self._port)]

    def _wait_once(self) -> ToxiproxyClient:
        give_up = time.monotonic() + START_TIMEOUT_S
        while True:
            if self._process.poll() is not None:
                raise ChildProcessError(self._process.returncode)
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                    break
            except OSError:
                if time.monotonic() > give_up:
                    self.close()
                    raise NetworkFault(
                        f"{self._command()[0]} did not serve in {START_TIMEOUT_S:g} s"
                    ) from None
                time.sleep(0.02)
        return ToxiproxyClient(self.url)

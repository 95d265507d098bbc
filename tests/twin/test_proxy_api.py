"""The built-in proxy's HTTP API answers as toxiproxy-server's does, request by request."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from shakedown.twin.network.wire_toxiproxy import ToxiproxyProcess

UPSTREAM = "127.0.0.1:9"
FREE = "127.0.0.1:0"
TOXICS = "/proxies/d/toxics"

CONVERSATION: list[tuple[str, str, Any]] = [
    ("GET", "/proxies", None),
    ("GET", "/nope", None),
    ("PUT", "/proxies", None),
    ("DELETE", "/proxies", None),
    ("POST", "/proxies", {"name": "a", "listen": FREE, "upstream": UPSTREAM}),
    ("POST", "/proxies", {"name": "a", "listen": FREE, "upstream": UPSTREAM}),
    ("POST", "/proxies", {"listen": FREE, "upstream": UPSTREAM}),
    ("POST", "/proxies", {"name": "b", "listen": FREE}),
    ("POST", "/proxies", {"name": "b", "listen": FREE, "upstream": UPSTREAM, "unknown": 1}),
    ("POST", "/proxies", {"name": "c", "listen": "TAKEN", "upstream": UPSTREAM}),
    ("POST", "/proxies", {"name": "c", "listen": "nonsense", "upstream": UPSTREAM}),
    ("POST", "/proxies", {"name": "d", "listen": FREE, "upstream": UPSTREAM, "enabled": False}),
    ("POST", "/proxies", "{bad"),
    ("POST", "/proxies", ""),
    ("POST", "/proxies", []),
    ("POST", "/proxies", {"name": 5}),
    ("GET", "/proxies/nobody", None),
    ("POST", "/proxies/nobody", {}),
    ("DELETE", "/proxies/nobody", None),
    ("GET", "/proxies/nobody/toxics", None),
    ("POST", "/proxies/nobody/toxics", {}),
    ("GET", f"{TOXICS}/nothing", None),
    ("POST", f"{TOXICS}/nothing", {}),
    ("DELETE", f"{TOXICS}/nothing", None),
    ("GET", "/proxies/d", None),
    ("POST", "/proxies/d", {"enabled": True}),
    ("PATCH", "/proxies/d", {"enabled": False}),
    ("PATCH", "/proxies/d", {"enabled": True}),
    ("POST", "/proxies/d", {"upstream": "127.0.0.1:10"}),
    ("POST", "/proxies/d", {"name": "renamed"}),
    ("POST", "/proxies/d", {}),
    ("POST", "/proxies/d", "{bad"),
    ("POST", "/proxies/d", {"listen": "TAKEN"}),
    ("POST", "/proxies/d", {"enabled": True}),
    ("GET", "/proxies/d", None),
    ("POST", "/proxies/d", {"listen": FREE, "enabled": True}),
    ("GET", TOXICS, None),
    *(
        ("POST", TOXICS, {"type": kind})
        for kind in (
            "latency",
            "bandwidth",
            "timeout",
            "reset_peer",
            "slow_close",
            "slicer",
            "limit_data",
            "noop",
        )
    ),
    ("POST", TOXICS, {"type": "unheard_of"}),
    ("POST", TOXICS, {"type": "latency"}),
    ("POST", TOXICS, {"type": "latency", "stream": "upstream"}),
    ("POST", TOXICS, {"type": "latency", "stream": "sideways"}),
    ("POST", TOXICS, {}),
    ("POST", TOXICS, "{bad"),
    (
        "POST",
        TOXICS,
        {"type": "latency", "name": "t", "toxicity": 0.5, "attributes": {"latency": 7, "jitter": 3}},
    ),
    ("POST", TOXICS, {"type": "latency", "name": "odd", "toxicity": 5, "attributes": {"latency": -7}}),
    ("POST", TOXICS, {"type": "latency", "name": "misspelled", "attributes": {"latencyy": 7}}),
    ("POST", TOXICS, {"type": "latency", "name": "null", "attributes": None}),
    ("POST", TOXICS, {"type": "latency", "name": "bad", "attributes": {"latency": "x"}}),
    ("POST", TOXICS, {"type": "latency", "name": "bad", "attributes": {"latency": 7.5}}),
    ("POST", TOXICS, {"type": "latency", "name": "bad", "attributes": {"latency": 2**63}}),
    ("POST", TOXICS, {"type": "latency", "name": "bad", "attributes": []}),
    ("POST", TOXICS, {"type": "latency", "name": "bad", "toxicity": "1"}),
    ("GET", f"{TOXICS}/t", None),
    ("POST", f"{TOXICS}/t", {"attributes": {"latency": 9}}),
    ("PATCH", f"{TOXICS}/t", {"toxicity": 0.25}),
    ("POST", f"{TOXICS}/t", {"type": "timeout", "stream": "upstream", "name": "other"}),
    ("POST", f"{TOXICS}/t", {"attributes": {"latency": "x"}}),
    ("POST", f"{TOXICS}/t", {"toxicity": None}),
    ("DELETE", f"{TOXICS}/t", None),
    ("GET", TOXICS, None),
    ("POST", "/populate", [{"name": "p", "listen": FREE, "upstream": UPSTREAM, "enabled": False}]),
    ("POST", "/populate", [{"name": "p", "listen": FREE, "upstream": UPSTREAM}]),
    ("POST", "/populate", [{"name": "p", "listen": FREE, "upstream": "127.0.0.1:11"}]),
    ("POST", "/populate", [{"name": "q", "listen": FREE}]),
    ("POST", "/populate", [{"upstream": UPSTREAM}]),
    ("POST", "/populate", {}),
    ("POST", "/populate", []),
    (
        "POST",
        "/populate",
        [{"name": n, "listen": at, "upstream": UPSTREAM} for n, at in (("r", FREE), ("s", "TAKEN"))],
    ),
    ("POST", "/proxies/d", {"enabled": False}),
    ("POST", "/reset", None),
    ("GET", "/reset", None),
    ("GET", "/proxies", None),
    ("DELETE", "/proxies/d", None),
    ("GET", "/proxies/d", None),
]


def converse(url: str) -> list[tuple[str, int, Any]]:
    """Hold the conversation; each answer as request line, status and JSON, with the ports that differ made equal."""
    answers = []
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = f"127.0.0.1:{squatter.getsockname()[1]}"
        for method, path, body in CONVERSATION:
            data = body if isinstance(body, str) else None
            asked = None if data is not None or body is None else _with_port(body, taken)
            answer = requests.request(method, url + path, data=data, json=asked, timeout=10)
            seen = answer.json() if answer.text.startswith(("{", "[")) else None
            answers.append((f"{method} {path} {body}", answer.status_code, _plain(seen, taken)))
    return answers


def _with_port(body: Any, taken: str) -> Any:
    if isinstance(body, list):
        return [_with_port(entry, taken) for entry in body]
    return {key: taken if value == "TAKEN" else value for key, value in body.items()}


def _plain(seen: Any, taken: str) -> Any:
    """Without what may differ: ephemeral ports, and how a JSON library words what it does not understand."""
    if isinstance(seen, dict):
        return {key: _plain(value, taken) for key, value in seen.items()}
    if isinstance(seen, list):
        return [_plain(value, taken) for value in seen]
    if isinstance(seen, str):
        seen = seen.replace(taken, "TAKEN")
        seen = re.sub(r"^(bad request body):.*", r"\1", seen)
        return re.sub(r"^127\.0\.0\.1:\d{4,5}$", "127.0.0.1:EPHEMERAL", seen)
    return seen


@pytest.fixture(scope="module")
def builtin() -> Iterator[str]:
    process = ToxiproxyProcess(None)
    process.wait().close()
    yield process.url
    process.close()


def test_the_builtin_api_answers_as_toxiproxy_server(builtin: str) -> None:
    program = shutil.which("toxiproxy-server")
    if program is None:
        pytest.skip("toxiproxy-server not on PATH")
    process = ToxiproxyProcess(Path(program))
    try:
        process.wait().close()
        theirs = converse(process.url)
    finally:
        process.close()
    assert converse(builtin) == theirs


def test_a_web_page_is_not_let_in(builtin: str) -> None:
    assert (
        requests.get(f"{builtin}/proxies", headers={"User-Agent": "Mozilla/5.0"}, timeout=10).status_code
        == 403
    )


def test_only_loopback_is_served(builtin: str) -> None:
    body = {"name": "open", "listen": "0.0.0.0:0", "upstream": UPSTREAM}
    answer = requests.post(f"{builtin}/proxies", json=body, timeout=10)
    assert answer.status_code == 500
    assert "only loopback addresses are served; listen on 127.0.0.1:0" in answer.json()["error"]
    assert requests.get(f"{builtin}/proxies/open", timeout=10).status_code == 404


def test_a_body_without_end_is_refused(builtin: str) -> None:
    answer = requests.post(f"{builtin}/proxies", data=b"[" * (1 << 21), timeout=10)
    assert answer.status_code == 400
    assert "larger than" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"name":"' + b"x" * 10, b"\xff\xfe", b"null", b'"text"', b"1e999"]
)
def test_hostile_json_is_a_bad_request(builtin: str, body: bytes) -> None:
    answer = requests.post(f"{builtin}/proxies", data=body, timeout=10)
    assert answer.status_code == 400
    assert requests.get(f"{builtin}/version", timeout=10).status_code == 200


def test_proxies_and_toxics_are_bounded(builtin: str) -> None:
    made = {"name": "bounded", "listen": FREE, "upstream": UPSTREAM, "enabled": False}
    with requests.Session() as session:
        assert session.post(f"{builtin}/proxies", json=made, timeout=10).status_code == 201
        answers = [
            session.post(
                f"{builtin}/proxies/bounded/toxics", json={"type": "noop", "name": f"{n}"}, timeout=10
            )
            for n in range(101)
        ]
        assert [answer.status_code for answer in answers] == [200] * 100 + [400]
        assert session.delete(f"{builtin}/proxies/bounded", timeout=10).status_code == 204

"""`shakedown twin serve` on real sockets: it serves, it stops when told, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.wall.served_plant import ServedPlant, serving

pytestmark = pytest.mark.wall


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_a_signal_stops_it_in_order(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with serving(tmp_path, "--cmms", "--cmms-port", "0", "--ledger", "ledger.jsonl") as served:
        assert served.endpoints["pid"] == served.process.pid
        assert served.ask("GET", "/truth")["machines"][0]["name"] == "filler"
        ports = [urlsplit(served.endpoints[name]).port for name in ("opcua", "http", "cmms")]
        assert served.end(number) == (code, "stopped\n")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]
    rows = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])[0] == "Z"
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize("option", ["port", "http_port"])
def test_a_port_in_use_ends_it_with_the_remedy(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        code, error = ServedPlant(tmp_path, "--ledger", "ledger.jsonl", **{option: port}).wait()
    assert code == 2
    assert f"127.0.0.1:{port}" in error
    assert f": give another --{option.replace('_', '-')}, or 0 for a free one." in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine_is_refused_with_the_remedy(tmp_path: Path) -> None:
    code, error = ServedPlant(tmp_path, "--host", "192.0.2.1").wait()  # TEST-NET-1: nobody's
    assert code == 2
    assert "cannot listen on 192.0.2.1:0" in error
    assert "give --host an address of this machine" in error


def test_an_address_that_others_reach_is_warned_of(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as served:
        assert served.ask("GET", "/plant")["endpoints"] == served.endpoints
        code, error = served.end()
    assert code == 0
    assert error.startswith(
        "warning: 0.0.0.0 can be reached from other machines, and nothing here asks who they are"
    )


def test_a_clients_session_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        sockets = [
            socket.create_connection(("127.0.0.1", urlsplit(served.endpoints[name]).port or 0))
            for name in ("opcua", "http")
        ]
        assert served.end()[0] == 0
        for connection in sockets:
            connection.close()

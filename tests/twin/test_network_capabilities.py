"""One table of what each network can do, and the proof of every cell of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import CAPABILITIES
from shakedown.twin.network.wire import WireNetwork
from shakedown.twin.network.wire_toxiproxy import ToxiproxyProcess
from tests.twin import network_rows as rows

IMPLEMENTATIONS = ("memory", "builtin", "toxiproxy-server")
PAGE = Path(__file__).parents[2] / "docs" / "network.md"


@dataclass(frozen=True)
class Capability:
    """A row: what real TCP over a real fault would do, and where an implementation differs, what it does instead.

    `claims` is the key that an implementation without a difference has in `Conduit.capabilities`.
    """

    title: str
    row: rows.Row
    tcp: str
    differs: dict[str, str]
    claims: str = ""

    def expected(self, implementation: str) -> str:
        return self.differs.get(implementation, self.tcp)


def proxies(builtin: str, server: str = "") -> dict[str, str]:
    return {"builtin": builtin, "toxiproxy-server": server or builtin}


def server(does: str) -> dict[str, str]:
    return {"toxiproxy-server": does}


TABLE = [
    Capability("Bytes arrive in order", rows.ordered_bytes, "in order", {}),
    Capability("A close is seen by the peer", rows.clean_close, "FIN", {}),
    Capability("A half-closed connection still answers", rows.half_close, "answered", server("cut")),
    Capability("A reset by one end reaches the other", rows.reset_by_end, "RST", server("FIN")),
    Capability(
        "Nobody listens",
        rows.nobody_listens,
        "refused",
        proxies("accepted, then RST", "accepted, then FIN"),
    ),
    Capability("Latency", rows.latency, "later, not later after heal", {}, "latency"),
    Capability("Jitter", rows.jitter, "varies, in order", {}, "jitter"),
    Capability("Bandwidth", rows.bandwidth, "paced", {}, "bandwidth"),
    Capability("Back pressure: a fast sender is paused", rows.back_pressure, "paused", {}, "bandwidth"),
    Capability("A fault holds for new connections too", rows.fault_on_new_connection, "holds", {}),
    Capability("`down()`", rows.down, "closed, refused, back after heal", {}, "down"),
    Capability("`reset()`", rows.reset, "RST, new ones work", server("FIN, new ones work"), "reset"),
    Capability("`stall()`, twice in a row", rows.stall_resumes, "held and intact, twice", {}, "stall"),
    Capability(
        "`blackhole()`, twice in a row",
        rows.blackhole,
        "swallowed, RST at heal, twice",
        server("swallowed, FIN at heal, twice"),
    ),
    Capability("A close inside a black hole", rows.fin_in_blackhole, "nothing", server("FIN")),
    Capability(
        "A close inside a stall", rows.fin_in_stall, "nothing, then last words, then FIN", {}, "stall"
    ),
    Capability("One direction alone", rows.asymmetric, "the other direction goes on", {}, "asymmetric"),
    Capability(
        "Connect into a black hole",
        rows.connect_into_blackhole,
        "times out",
        proxies("accepted, then nothing"),
        "connect_into_cut",
    ),
    Capability(
        "A stall that outlasts TCP's patience",
        rows.retransmission,
        "ETIMEDOUT",
        proxies("acknowledged by the proxy"),
        "retransmission_timeout",
    ),
    Capability(
        "`unplug()`: half-open",
        rows.half_open,
        "silence, then RST",
        server("FIN at once"),
        "half_open",
    ),
    Capability("A fault on one host's cable", rows.cable, "that host alone", {}, "cable"),
    Capability("Zones without a conduit", rows.zones, "refused", {}, "zones"),
    Capability("Counters", rows.counters, "counted", server("not counted"), "counters"),
    Capability("Faults read back", rows.read_back, "the faults in force", {}, "read_back"),
]


@pytest.fixture(scope="module")
def builtin_url() -> Iterator[str]:
    process = ToxiproxyProcess(None)
    process.wait().close()
    yield process.url
    process.close()


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    program = shutil.which("toxiproxy-server")
    if program is None:
        pytest.skip("toxiproxy-server not on PATH")
    process = ToxiproxyProcess(Path(program))
    process.wait().close()
    yield process.url
    process.close()


def observe(
    implementation: str, capability: Capability, request: pytest.FixtureRequest
) -> tuple[str, frozenset[str]]:
    """Run a row on an implementation: what was observed, and what the implementation claims."""
    on_the_wall = implementation != "memory"

    async def main() -> tuple[str, frozenset[str]]:
        network = WireNetwork(urls[implementation]) if on_the_wall else MemoryNetwork(seed=1)
        async with rows.lab(network, on_the_wall=on_the_wall) as lab:
            return await capability.row(lab), lab.wan.capabilities

    urls = {}
    if on_the_wall:
        fixture = {"builtin": "builtin_url", "toxiproxy-server": "server_url"}[implementation]
        urls[implementation] = request.getfixturevalue(fixture)
    return run(main(), clock="wall" if on_the_wall else "virtual")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("capability", TABLE, ids=lambda capability: capability.row.__name__)
def test_capability(implementation: str, capability: Capability, request: pytest.FixtureRequest) -> None:
    observed, claimed = observe(implementation, capability, request)
    assert observed == capability.expected(implementation)
    if capability.claims:
        assert (capability.claims in claimed) == (observed == capability.tcp), (
            "claimed is not what was observed"
        )


def test_every_claim_has_a_row() -> None:
    shown = {capability.claims for capability in TABLE}
    elsewhere = {
        "blackhole",
        "trace",
    }  # blackhole: two rows and a difference in each; trace: the memory's own tests
    assert shown - {""} | elsewhere == set(CAPABILITIES)


def as_markdown() -> str:
    """The table for docs/network.md: run this file to print it."""
    head = ["What", *(name.replace("-", "‑") for name in IMPLEMENTATIONS)]
    lines = [head, ["---"] * len(head)]
    for capability in TABLE:
        cells = [
            f"**{capability.differs[name]}**" if name in capability.differs else capability.tcp
            for name in IMPLEMENTATIONS
        ]
        lines.append([capability.title, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def test_the_page_has_this_table() -> None:
    assert as_markdown() in PAGE.read_text(encoding="utf-8"), (
        "docs/network.md is older than the table; paste what this file prints"
    )


if __name__ == "__main__":
    print(as_markdown(), end="")

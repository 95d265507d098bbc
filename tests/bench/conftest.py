"""The table of ratios at the end of `make bench`: what each thing costs beside what it stands on, in the same run.

A benchmark of pure Python counts its process's CPU time, so that what else the machine does matters little; where other
processes or a disk take part it is wall time. Nothing here is asserted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

Medians = Mapping[str, float]
"""Seconds of each benchmark that ran, by its test's name."""

SERVED_VALUES = 10_100  # of tests/bench/test_bench_south.py: SCANS x TAGS, and the first scan


def _client_s(medians: Medians, client: str) -> float:
    """Seconds that a client took, without the server and the network below it."""
    return medians[f"test_with_the_server[{client}]"] - medians["test_with_the_server[none]"]


def _over(numerator: str, denominator: str, weight: float = 1.0) -> Callable[[Medians], float]:
    return lambda medians: weight * medians[numerator] / medians[denominator]


RATIOS: tuple[tuple[str, str, Callable[[Medians], float]], ...] = (
    (
        "bridge's own code (normalise, journal, session, payload, publish)",
        "asyncua's client that delivers the value",
        lambda m: (
            m["test_from_reading_to_socket_100_values"] / 100 / (_client_s(m, "asyncua") / SERVED_VALUES)
        ),
    ),
    (
        "bridge's south, journal included",
        "asyncua's client",
        lambda m: _client_s(m, "ours") / _client_s(m, "asyncua"),
    ),
    (
        "bridge's decoder of publish responses",
        "asyncua's",
        _over("test_decode_ours", "test_decode_asyncua"),
    ),
    (
        "journal, append of 48 values, 16 callers",
        "bare sqlite3, a transaction each",
        _over("test_append[48-16]", "test_bare_sqlite[48]"),
    ),
    (
        "journal, append of 1000 values",
        "bare sqlite3, a transaction each",
        _over("test_append[1000-1]", "test_bare_sqlite[1000]"),
    ),
    (
        "OPC UA server, scan of 48 changes",
        "bare asyncua",
        _over("test_scan_of_48_changes[corrected]", "test_scan_of_48_changes[bare]"),
    ),
    *(
        (
            f"embedded broker, QoS {qos}",
            bare,
            _over(f"test_messages_through[embedded-{qos}]", f"test_messages_through[{name}-{qos}]"),
        )
        for qos in (0, 1)
        for name, bare in (("amqtt", "bare amqtt"), ("mosquitto", "Mosquitto"))
    ),
    (
        "jump of the virtual clock",
        "timer of plain asyncio that is due",
        _over("test_jumps_of_the_clock", "test_timers_of_plain_asyncio"),
    ),
    (
        "message through the network in memory",
        "loopback TCP on plain asyncio",
        _over("test_messages_there_and_back[0.0]", "test_messages_over_loopback"),
    ),
    (
        "line with its ledger",
        "bare SimPy kernel with as many events",
        _over("test_whole_line_with_its_ledger", "test_bare_kernel_with_as_many_events"),
    ),
    (
        "judge's decoder",
        "protobuf (upb) as the primary host uses it",
        _over("test_decode_data", "test_decode_data_with_protobuf"),
    ),
    (
        "judge, a sample of 250,000",
        "a sample of 75,000",
        _over("test_judge_a_run[250,000]", "test_judge_a_run[75,000]", 9_400 / 31_250),
    ),
    *(
        (
            f"{way}, {what.replace('_', ' ')}",
            "no proxy",
            _over(f"test_{what}[{way}]", f"test_{what}[bare]"),
        )
        for what in ("round_trips", "throughput")
        for way in ("builtin", "toxiproxy-server")
    ),
)
"""What is measured, what it stands beside, and time over time: below 1 is faster."""


@pytest.hookimpl(trylast=True)  # below pytest-benchmark's own tables
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session: Any = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    terminalreporter.section("ratios, measured in this run")
    rows = [*_rates(session.benchmarks), *_ratios({one.name: one.stats.median for one in session.benchmarks})]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, figure, beside in rows:
        terminalreporter.write_line(f"{name:<{width}}  {figure:>12}  {beside}")


def _rates(benchmarks: Any) -> Iterator[tuple[str, str, str]]:
    """What a benchmark says of itself: speed in virtual time, and values a second."""
    for one in benchmarks:
        figures = one.extra_info
        if "times_real_time" in figures:
            beside = f"real time; {figures['us_per_value']} us a value"
            yield figures["what"], f"{figures['times_real_time']} x", beside
        elif "values_per_s" in figures:
            yield one.name.removeprefix("test_"), f"{figures['values_per_s']:,}", "values a second"


def _ratios(medians: Medians) -> Iterator[tuple[str, str, str]]:
    for name, beside, ratio in RATIOS:
        try:
            yield name, f"{ratio(medians):.2f}", f"times the cost of {beside}"
        except KeyError:
            continue  # a test that was not selected, or a program that is not on this machine

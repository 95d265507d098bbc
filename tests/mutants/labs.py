"""Broken labs: the bridge is whole, one part of the lab is not, and the run must say so and end with 4.

`python -m tests.mutants.labs` runs them all and writes docs/broken_labs.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shakedown.acceptance.observer import Observer
from shakedown.acceptance.verdict import Verdict
from shakedown.scenarios.parts import auditor
from shakedown.scenarios.parts.broker import AcceptanceLog
from shakedown.twin.enterprise.host import PrimaryHost
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.ledger import Ledger
from shakedown.twin.servers.monitored_item import MonitoredItem
from shakedown.twin.servers.opcua import OpcUaServer
from shakedown.twin.servers.subscription import Subscription
from shakedown.twin.servers.tag import TagValue
from tests.mutants.drills import HERE, verdict_of

PAGE = HERE.parents[1] / "docs" / "broken_labs.md"
NTH = 20
HEAD = """# Broken labs

Written by `python -m tests.mutants.labs` from one run of each; not by hand. The bridge is whole in all of them, and one
part of the lab is not. Each run ends with 4, a harness fault that names the part and what does not agree, whatever the
criteria say (FAIL: these would have blamed the bridge). Who counts what stands in
[criteria.md](criteria.md#reconciliation).

| the lab's fault | what the run says of it | criteria that FAIL |
| --- | --- | --- |
"""

Method = Callable[..., Any]


def _every_nth(broken: Callable[..., Any]) -> Callable[[Method], Method]:
    """The method as it is, and every NTH call of it as `broken(method, self, ...)`."""

    def breaking(method: Method) -> Method:
        calls = 0

        @wraps(method)
        def called(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            return broken(method, *args, **named) if calls % NTH == 0 else method(*args, **named)

        return called

    return breaking


@_every_nth
def never(_: Method, *args: Any, **named: Any) -> None:
    """The call does nothing."""


def with_another_value(method: Method) -> Method:
    """The value that is shown is another one, each NTH time."""

    @_every_nth
    def other(show: Method, self: Any, value: Any, *rest: Any) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        show(self, value + 1 if is_number else value, *rest)

    return other(method)


def without_its_last(method: Method) -> Method:
    """The last of what it is given is left out, each NTH time."""

    @_every_nth
    def short(whole: Method, self: Any, first: Any, rows: Any) -> Any:
        return whole(self, first, list(rows)[:-1])

    return short(method)


def twice(method: Method) -> Method:
    """The rows of a message are written down twice, each NTH time."""

    calls = 0

    def keep(self: Any, edge: Any, rows: list[Any]) -> None:
        nonlocal calls
        calls += 1
        method(self, edge, rows if calls % NTH else [*rows, *rows])

    return keep


def eight_seconds_late(method: Method) -> Method:
    """What is written down says 8 s later."""

    def write_all(self: Any, records: Any) -> None:
        method(self, [_later(record) for record in records])

    return write_all


def _later(record: Any) -> Any:
    is_row = isinstance(record, (list, tuple)) and record[0] == "H"
    return [record[0], record[1] + 8_000_000_000, *record[2:]] if is_row else record


def unsent(method: Method) -> Method:
    """A notification is taken from its queue and does not get into the message."""

    def number(self: Any, data: list[bytes], notifications: int) -> bytes:
        return method(self, data, max(0, notifications - 1))

    return number


def without_an_order(method: Method) -> Method:
    """The first work order is left out."""

    async def write_log(url: str, log: Path, **named: Any) -> int:
        count = await method(url, log, **named)
        _cut_one(log, count)
        return int(count)

    return write_log


def _cut_one(log: Path, count: int) -> None:
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    last = lines[-1].replace(f":{count}", f":{count - 1}")
    log.write_text("".join([*lines[1:-1], last]), encoding="utf-8")


@dataclass(frozen=True)
class BrokenLab:
    """One part of the lab with one method broken, and the word by which the run must name it."""

    name: str
    owner: Any
    method: str
    breaking: Callable[[Method], Method]
    says: str
    drill: str = "lab.yaml"
    quick: bool = False

    def verdict(self, folder: Path) -> Verdict:
        """What the run of a whole bridge comes to in it."""
        with patch.object(self.owner, self.method, self.breaking(getattr(self.owner, self.method))):
            return verdict_of(folder, drill=self.drill)


LABS: tuple[BrokenLab, ...] = (
    BrokenLab("a tag forgets values", TagValue, "offer", never, "the server plc1 counts", quick=True),
    BrokenLab("a tag shows another value", TagValue, "offer", with_another_value, "remembers other values"),
    BrokenLab("a server is not given a value", OpcUaServer, "publish", without_its_last, "the server plc1"),
    BrokenLab("a monitored item forgets values", MonitoredItem, "take", never, "the OPC UA server counts"),
    BrokenLab("a subscription loses notifications", Subscription, "_number", unsent, "the OPC UA server counts"),
    BrokenLab("the ledger lacks rows", Ledger, "samples", without_its_last, "the ledger"),
    BrokenLab("the ledger lacks events", Ledger, "event", never, "the line counts"),
    BrokenLab("the host writes rows twice", PrimaryHost, "_keep", twice, "passed less often", quick=True),
    BrokenLab("the host writes 8 s late", JsonLines, "write_all", eight_seconds_late, "at another time"),
    BrokenLab("the host forgets rows", PrimaryHost, "_keep", never, "are not there"),
    BrokenLab("the broker's log misses messages", AcceptanceLog, "on_accept", never, "the broker wrote", quick=True),
    BrokenLab("the observer misses messages", Observer, "_keep", never, "the observer lacks"),
    BrokenLab("the CMMS's export lacks an order", auditor, "write_log", without_an_order, "the CMMS counts",
              drill="shift_orders.yaml"),
)  # fmt: skip


def row_of(lab: BrokenLab, verdict: Verdict) -> str:
    """The line of a lab in the page."""
    failed = ", ".join(one.name for one in verdict.criteria if one.verdict == "FAIL") or "none"
    said = next((problem.what for problem in verdict.harness if lab.says in problem.what), "nothing")
    return f"| {lab.name} | {said} | {failed} |"


def main() -> None:
    """Run everything and write the page."""
    rows = []
    for lab in LABS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row_of(lab, lab.verdict(Path(folder) / "run")))
    PAGE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

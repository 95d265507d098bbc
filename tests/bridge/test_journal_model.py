"""The journal against a list: whatever is done to it, in whatever order, with restarts in between."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shakedown.bridge.core.model import Sample
from shakedown.bridge.journal.journal import Journal

TARGETS = ("enterprise", "site")

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
)
batches = st.lists(
    st.builds(
        Sample,
        st.integers(0, 9),
        st.integers(0, 2**53),
        values,
        st.sampled_from([192, 192, 0, 500]),
        st.just(0) | st.integers(0, 2**32 - 1),
    ),
    max_size=12,
)


class JournalModel(RuleBasedStateMachine):
    """Rows 1.. in a list; `held` are those that count. At so small a bound a batch is one row."""

    @initialize(rows_max=st.integers(1, 40))
    def begin(self, rows_max: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "j"
        self.runner = asyncio.Runner()
        self.rows_max = rows_max
        self.rows: list[Sample] = []
        self.held: set[int] = set()
        self.declared = dict.fromkeys(TARGETS, 0)
        self.settled: dict[str, set[int]] = {name: set() for name in TARGETS}
        self.spare: dict[str, list[tuple[int, int]]] = {name: [] for name in TARGETS}
        self.cursors = dict.fromkeys(TARGETS, 0)
        self.bd_seqs = dict.fromkeys(TARGETS, 0)
        self.position: bytes | None = None
        self.journal = self.open()

    def open(self) -> Journal:
        return self.runner.run(Journal.open(self.path, targets=TARGETS, rows_max=self.rows_max))

    @rule(groups=st.lists(batches, min_size=1, max_size=4), position=st.none() | st.binary(max_size=8))
    def append(self, groups: list[list[Sample]], position: bytes | None) -> None:
        """Several at once, so that they are committed together."""

        async def together() -> list[range]:
            entries = {"plc1": position} if position is not None else None
            return await asyncio.gather(*(self.journal.append(group, entries) for group in groups))

        ranges = self.runner.run(together())
        for group, rows in zip(groups, ranges, strict=True):
            assert rows == range(len(self.rows) + 1, len(self.rows) + len(group) + 1)
            self.rows += group
            self.held |= set(rows)
        self.position = position if position is not None else self.position
        excess = max(0, len(self.held) - self.rows_max)
        for row in sorted(self.held, key=self.rank)[:excess]:
            self.held.remove(row)
            for name in TARGETS:
                self.declared[name] += not self.has(name, row)

    def has(self, name: str, row: int) -> bool:
        return row <= self.cursors[name] or row in self.settled[name]

    def rank(self, row: int) -> tuple[int, int, int]:
        """What goes first: what a target would rather lose and no other minds, in that target's order."""
        places = {
            name: next((n for n, (first, last) in enumerate(self.spare[name]) if first <= row <= last), None)
            for name in TARGETS
        }
        if all(places[name] is not None or self.has(name, row) for name in TARGETS):
            for number, name in enumerate(TARGETS):
                if places[name] is not None:
                    return number, places[name], row
        return len(TARGETS), 0, row

    @rule(
        name=st.sampled_from(TARGETS),
        spans=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=4),
    )
    def say_what_may_go(self, name: str, spans: list[tuple[int, int]]) -> None:
        self.spare[name] = [(first, first + more) for first, more in spans]
        self.journal.spare(name, self.spare[name])

    @rule(name=st.sampled_from(TARGETS), share=st.floats(0, 1), more=st.integers(0, 9))
    def settle(self, name: str, share: float, more: int) -> None:
        first = 1 + round(share * len(self.rows))
        last = min(first + more, len(self.rows))
        if last >= first:
            self.runner.run(self.journal.settle(name, [(first, last)]))
            self.settled[name] |= set(range(first, last + 1))
            self.free()

    def free(self) -> None:
        self.held = {row for row in self.held if not all(self.has(name, row) for name in TARGETS)}

    @rule(name=st.sampled_from(TARGETS), share=st.floats(0, 1))
    def confirm(self, name: str, share: float) -> None:
        row = round(share * len(self.rows))
        self.runner.run(self.journal.confirm(name, row))
        self.cursors[name] = max(row, self.cursors[name])
        self.free()

    @rule(name=st.sampled_from(TARGETS))
    def count_bd_seq(self, name: str) -> None:
        assert self.runner.run(self.journal.next_bd_seq(name)) == self.bd_seqs[name]
        self.bd_seqs[name] = (self.bd_seqs[name] + 1) % 256

    @rule()
    def restart(self) -> None:
        self.runner.run(self.journal.close())
        self.journal = self.open()
        self.spare = {name: [] for name in TARGETS}

    @rule(name=st.sampled_from(TARGETS), after=st.integers(0, 60), limit=st.integers(0, 30))
    def read(self, name: str, after: int, limit: int) -> None:
        expected = [(row, self.rows[row - 1]) for row in sorted(self.held) if row > after][:limit]
        assert repr(self.runner.run(self.journal.read(name, after, limit))) == repr(expected)

    @invariant()
    def state_is_the_models(self) -> None:
        if hasattr(self, "journal"):
            assert self.journal.last_row == len(self.rows)
            assert self.journal.dropped == sum(self.declared.values())
            assert {name: self.journal.declared(name) for name in TARGETS} == self.declared
            assert self.journal.get("plc1") == self.position
            for target, cursor in self.cursors.items():
                assert self.journal.watermark(target) == cursor

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.runner.run(self.journal.close())
            self.runner.close()
            self.folder.cleanup()


JournalModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestJournalModel = pytest.mark.slow(JournalModel.TestCase)

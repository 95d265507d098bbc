"""What a line writes, kept at hand: bounded, in order, and the same on disk as without it in between."""

from __future__ import annotations

import json
from pathlib import Path

import simpy

from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant
from shakedown.twin.web.live import EVENTS_MAX, LiveLedger
from tests.twin.line_rig import document

SECONDS = 120


def played(folder: Path, name: str, *, live: bool) -> tuple[bytes, LiveLedger]:
    folder.mkdir(exist_ok=True)
    path = folder / name
    env = simpy.Environment()
    upsets = {"stuck": {"kind": "stuck", "signals": ["filler"], "at_s": [20, 95], "lasts_s": 30}}
    with Ledger(path, start_ns=0) as file:
        kept = LiveLedger(0, file)
        Line(Plant.model_validate(document(upsets=upsets)), env, 1, kept if live else file).start()
        env.run(until=SECONDS * 1_000)
    return path.read_bytes(), kept


def test_the_file_is_the_same_with_it_and_without(tmp_path: Path) -> None:
    assert played(tmp_path, "with", live=True)[0] == played(tmp_path, "without", live=False)[0]


def test_latest_holds_the_last_sample_of_every_signal(tmp_path: Path) -> None:
    written, kept = played(tmp_path, "ledger", live=True)
    rows = [json.loads(line) for line in written.splitlines()[1:]]
    assert kept.latest == {row[2]: (row[1], row[3], row[4]) for row in rows if row[0] == "S"}
    assert kept.samples_offered == sum(row[0] == "S" for row in rows)
    assert kept.events_counted == sum(row[0] == "P" for row in rows)
    assert list(kept.upsets) == ["stuck"]  # the second time; it lasts beyond the end


def test_the_tail_is_in_order_and_bounded_by_kind() -> None:
    kept = LiveLedger(0)
    kept.event(0, "upset", "filler", {"phase": "start", "id": "u"})
    for number in range(EVENTS_MAX + 50):
        kept.event(number, "part", "filler", {"serial": number})
    assert [event[0] for event in kept.tail(3)] == [EVENTS_MAX + 49, EVENTS_MAX + 50, EVENTS_MAX + 51]
    assert [event[0] for event in kept.tail(10, "upset")] == [1]
    assert len(kept.tail(10**6)) == EVENTS_MAX + 1
    assert kept.tail(10**6)[0][0] == 1
    assert [event[0] for event in kept.tail(10, after=EVENTS_MAX + 49)] == [EVENTS_MAX + 50, EVENTS_MAX + 51]
    assert kept.tail(0) == []
    assert kept.tail(10, "nothing like it") == []


def test_an_upset_is_in_force_from_its_start_to_its_end() -> None:
    kept = LiveLedger(0)
    for owner in ("filler", "packer"):
        kept.event(5, "upset", owner, {"phase": "start", "id": "u"})
    assert kept.upsets == {"u": 5}
    for owner in ("filler", "packer"):
        kept.event(9, "upset", owner, {"phase": "end", "id": "u"})
    assert kept.upsets == {}

"""The position in a server's subscription: what is stored of it, and that it comes back."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest

from shakedown.bridge.south.position import Item, Position, key_of, next_sequence, restore
from tests.bridge.south_rig import metric


def move(position: Position, draw: random.Random) -> None:
    """Some items have new values, at the edges of what can be stored as well."""
    for handle in draw.sample(range(70), draw.randrange(6)):
        position.ticks[handle] = draw.choice([0, 2**62, draw.randrange(2**62)])
        position.same[handle] = draw.choice([1, 1, 2**32 - 1])
        position.check[handle] = draw.randrange(2**32)
        position.gap[handle] = draw.random() < 0.3


@pytest.mark.parametrize("seed", range(40))
def test_a_position_comes_back_as_it_was(seed: int) -> None:
    """Written as differences; one of the drafts is given up, and nobody knows whether it was stored."""
    draw = random.Random(seed)
    abandoned = draw.randrange(8)
    metrics = [metric(i, f"T{i}") for i in range(70)]
    stored: dict[str, bytes] = {}
    position = Position(namespaces=("a", "b"))
    draft = position.restarted(metrics)
    draft.settings = (500, 100, 9)
    stored |= draft.entries("plc1", position)
    position = draft
    for number in range(6):
        draft = position.copy()
        draft.subscription_id, draft.sequence = 77, draw.choice([0, 2**32 - 1, number])
        move(draft, draw)
        written = draft.entries("plc1", position)
        if number != abandoned or seed % 2:
            stored |= written
        if number != abandoned:
            position = draft
            assert restore("plc1", stored.get, metrics) == position
    again = restore("plc1", stored.get, metrics)
    for position in (again, again.restarted(metrics), again.extended([Item("d/new", "ns=2;s=N", 70)])):
        draft = position.copy()
        draft.ticks[69] = 5
        stored |= draft.entries("plc1", again)
        assert restore("plc1", stored.get, metrics).ticks == draft.ticks


def test_only_what_changed_is_stored() -> None:
    """10,000 nodes of which 100 change: some 1,000 bytes, and now and then the whole."""
    items = tuple(Item(f"d/m{i}", f"ns=2;s=T{i}", i) for i in range(10_000))
    position, size = Position(), 0
    for number in range(1000):
        draft = position.extended(items) if not position.items else position.copy()
        for handle in range(number % 100, 10_000, 100):
            draft.ticks[handle], draft.same[handle] = 10**17 + number * 10**6 + handle * 10**4, 1
            draft.check[handle] = (number * handle) % 2**32
        size += sum(map(len, draft.entries("plc1", position).values()))
        position = draft
    assert size / (1000 * 100) < 20


def test_a_position_of_an_earlier_format_is_read() -> None:
    metrics = [metric(i, f"T{i}") for i in range(2)]
    items = [(key_of(m), m.node_id, 5) for m in metrics]
    old = {
        "plc1": struct.pack("<II2q2I2I2s", 77, 9, 10**17, 0, 3, 0, 2**32 - 1, 0, b"\1\0"),
        "plc1/items": msgspec.msgpack.encode((("a",), (500, 100, 9), items)),
    }
    position = restore("plc1", old.get, metrics)
    assert (position.subscription_id, position.sequence, position.settings) == (77, 9, (500, 100, 9))
    assert (list(position.ticks), list(position.same)) == ([10**17, 0], [3, 0])
    assert (list(position.check), list(position.gap)) == ([2**32 - 1, 0], [1, 0])
    draft = position.copy()
    draft.ticks[1] = 4
    assert restore("plc1", (old | draft.entries("plc1", position)).get, metrics) == draft


def test_sequence_numbers_go_round_without_zero() -> None:
    assert [next_sequence(n) for n in (0, 1, 2**32 - 2, 2**32 - 1)] == [1, 2, 2**32 - 1, 1]

"""The primary host's view of one edge node: sequence, aliases, deaths and what is new."""

import pytest

from shakedown.twin.enterprise.edge_view import REORDER_MESSAGES_MAX, EdgeView
from shakedown.twin.enterprise.sparkplug import HostMetric, HostPayload, decode, rebirth_command, typed


def metric(name="", alias=None, ts=1000, datatype=0, value=1, quality=192, historical=False):
    return HostMetric(name, alias, ts, datatype, historical, value, quality)


def nbirth(bd_seq=0, seq=0):
    return HostPayload(1, seq, (metric("bdSeq", datatype=4, value=bd_seq),))


def dbirth(seq=1, ts=1000, value=1):
    return HostPayload(1, seq, (metric("speed", 7, ts, 10, value),))


def data(seq, *samples, historical=False):
    return HostPayload(
        1, seq, tuple(metric("", 7, ts, 0, value, historical=historical) for ts, value in samples)
    )


@pytest.fixture
def edge():
    view = EdgeView("g/n")
    view.birth(nbirth())
    view.receive("DBIRTH", "d", dbirth())
    return view


def kept(result):
    return [(row[2], row[3]) for row in result[0]]


def test_data_is_named_by_the_alias_of_its_birth(edge):
    rows, problem = edge.receive("DDATA", "d", data(2, (2000, 5)))
    assert rows == [("d", "speed", 2000, 5, 192, False, "data")]
    assert problem is None


def test_a_birth_is_a_sample_once_and_never_a_duplicate(edge):
    edge.birth(nbirth())
    assert kept(edge.receive("DBIRTH", "d", dbirth())) == []
    assert edge.duplicates == 0


def test_a_sample_that_a_birth_brought_is_dropped_from_the_history_behind_it(edge):
    edge.birth(nbirth())
    edge.receive("DBIRTH", "d", dbirth(ts=3000, value=9))
    assert kept(edge.receive("DDATA", "d", data(2, (2500, 8), (3000, 9), historical=True))) == [(2500, 8)]
    assert edge.duplicates == 1


def test_history_repeated_in_a_new_session_is_dropped_but_a_second_of_its_kind_is_kept(edge):
    assert kept(edge.receive("DDATA", "d", data(2, (2000, 5)))) == [(2000, 5)]
    edge.birth(nbirth())
    edge.receive("DBIRTH", "d", dbirth())
    result = edge.receive("DDATA", "d", data(2, (2000, 5), (2000, 5), historical=True))
    assert kept(result) == [(2000, 5)]
    assert edge.duplicates == 1


def test_same_timestamp_with_another_value_or_quality_is_another_sample(edge):
    payload = HostPayload(
        1,
        2,
        (metric("", 7, 2000, value=5), metric("", 7, 2000, value=6), metric("", 7, 2000, value=5, quality=0)),
    )
    assert len(edge.receive("DDATA", "d", payload)[0]) == 3


def test_messages_ahead_of_a_gap_wait_and_are_kept_in_order(edge):
    assert edge.receive("DDATA", "d", data(3, (3000, 3))) == ([], None)
    assert list(edge.waiting) == [3]
    assert kept(edge.receive("DDATA", "d", data(2, (2000, 2)))) == [(2000, 2), (3000, 3)]
    assert not edge.waiting


def test_the_sequence_wraps_at_256_while_messages_wait(edge):
    for seq in range(2, 255):
        edge.receive("DDATA", "d", data(seq, (seq, seq)))
    edge.receive("DDATA", "d", data(0, (9000, 0)))
    assert kept(edge.receive("DDATA", "d", data(255, (8000, 255)))) == [(8000, 255), (9000, 0)]


def test_too_many_messages_ahead_of_a_gap_are_a_problem(edge):
    results = [edge.receive("DDATA", "d", data(3 + n, (n, n))) for n in range(REORDER_MESSAGES_MAX + 1)]
    assert results[-1][1] is not None
    assert all(problem is None for _, problem in results[:-1])


@pytest.mark.parametrize(
    ("kind", "device", "payload", "problem"),
    [
        ("DDATA", "other", data(2, (1, 1)), "before its birth"),
        ("DDATA", "d", HostPayload(1, 2, (metric("", 99),)), "no birth has named"),
        ("DDATA", "d", HostPayload(1, None, ()), "without seq"),
    ],
)
def test_what_only_a_rebirth_can_mend_is_a_problem(edge, kind, device, payload, problem):
    assert problem in edge.receive(kind, device, payload)[1]


def test_data_before_any_birth_is_a_problem():
    assert EdgeView("g/n").receive("DDATA", "d", data(0, (1, 1)))[1] == "data before a birth"


def test_only_the_death_of_the_present_birth_counts(edge):
    late = HostPayload(1, None, (metric("bdSeq", value=3),))
    assert not edge.death(late)
    assert edge.online
    assert edge.death(HostPayload(1, None, (metric("bdSeq", value=0),)))
    assert not edge.online


def test_a_device_that_died_needs_a_birth_before_data(edge):
    edge.receive("DDEATH", "d", HostPayload(1, 2, ()))
    assert "before its birth" in edge.receive("DDATA", "d", data(3, (1, 1)))[1]


@pytest.mark.parametrize(
    ("datatype", "raw", "value"),
    [
        (1, 0xEF, -17),
        (1, 0xFFFFFFE9, -23),
        (3, 0xFFFFFFFF, -1),
        (4, 2**64 - 1, -1),
        (5, 0x1FF, 0xFF),
        (8, 2**64 - 1, 2**64 - 1),
    ],
)
def test_integers_have_their_declared_width_and_sign(datatype, raw, value):
    assert typed(raw, datatype) == value


def test_a_rebirth_command_has_no_seq_and_says_true():
    payload = decode(rebirth_command(5))
    assert payload.seq is None
    assert payload.metrics == (HostMetric("Node Control/Rebirth", None, 5, 11, False, True, 192),)


@pytest.mark.parametrize("raw", [b"\xff", b"\x12\xff\xff\xff\xff\x0f", b"\x0a\x80", bytes(range(40))])
def test_a_malformed_payload_is_a_value_error(raw):
    with pytest.raises(ValueError, match="not a Sparkplug B payload"):
        decode(raw)

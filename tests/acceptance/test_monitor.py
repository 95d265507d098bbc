"""The monitor: what it finds, that a good edge node is clean, and that nothing that is published can hurt it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shakedown.acceptance import monitor as monitor_module
from shakedown.acceptance.monitor import STORM_BIRTHS, Monitor
from shakedown.acceptance.readers import WireMessage
from shakedown.acceptance.session import EDGES_MAX

NBIRTH, NDATA = "spBv1.0/g/NBIRTH/e", "spBv1.0/g/NDATA/e"


def wires(lab, plan):
    """The messages of a plan that the broker accepted, as a subscriber sees them."""
    plan.messages.sort(key=lambda message: message.ns)
    accepted = [(m, p) for m, p in zip(plan.messages, plan._payloads(), strict=True) if m.accepted]
    return [WireMessage(m.ns, None, m.topic, p, m.qos, m.retain) for m, p in accepted]


def watch(messages, *, until_ns=None, **options):
    found = []
    watched = Monitor("test", messages[0].ns if messages else 0, on_finding=found.append, **options)
    for message in messages:
        watched.take(message)
    report = watched.report(until_ns or (messages[-1].ns if messages else 0))
    assert {finding.rule for edge in report.edges for finding in edge.examples} == {f.rule for f in found}
    return report


def one(report):
    (edge,) = report.edges
    return edge


def test_a_good_edge_node_is_clean(lab, plan):
    report = watch(wires(lab, plan))
    edge = one(report)
    assert report.verdict == "clean"
    assert (edge.edge, edge.status, edge.sessions, edge.devices) == (lab.EDGE, "online", 2, 2)
    assert not edge.breaches
    assert not edge.notes


def test_a_monitor_that_comes_later_holds_nothing_unseen_against_anybody(lab, plan):
    messages = wires(lab, plan)
    report = watch([m for m in messages if lab.at(20) < m.ns < lab.at(90)])
    assert (report.verdict, one(report).status) == ("clean", "birth not seen")
    assert watch([m for m in messages if lab.at(20) < m.ns]).verdict == "clean"


def test_a_gap_is_found_before_any_birth_was_seen(lab, plan):
    data = [m for m in wires(lab, plan) if "DDATA" in m.topic][:20]
    report = watch(data[:8] + data[9:])
    assert report.verdict == "breaches"
    assert one(report).sequence_gaps == 1


def test_what_passed_while_the_broker_was_lost_is_no_gap(lab, plan):
    data = [m for m in wires(lab, plan) if "DDATA" in m.topic][:20]
    watched = Monitor("test", data[0].ns)
    for message in data[:8]:
        watched.take(message)
    watched.absent()
    watched.back(data[12].ns)
    for message in data[12:]:
        watched.take(message)
    report = watched.report(data[-1].ns)
    assert (report.verdict, report.connections_lost) == ("clean", 1)


def test_a_rebirth_storm_is_found_once(lab, plan):
    birth = next(m for m in wires(lab, plan) if "NBIRTH" in m.topic)
    storm = [birth._replace(ns=birth.ns + n * lab.S) for n in range(STORM_BIRTHS + 3)]
    edge = one(watch(storm))
    assert edge.rebirth_storms == 1
    assert not edge.is_clean
    calm = [birth._replace(ns=birth.ns + 30 * n * lab.S) for n in range(STORM_BIRTHS + 3)]
    assert one(watch(calm)).rebirth_storms == 0


def test_an_edge_node_that_falls_silent_is_stale_unless_it_said_goodbye(lab, plan):
    messages = [m for m in wires(lab, plan) if m.ns < lab.at(90)]
    later_ns = messages[-1].ns + 301 * lab.S
    edge = one(watch(messages, until_ns=later_ns))
    assert (edge.stale, edge.is_clean) == (True, False)
    assert one(watch(messages, until_ns=later_ns, stale_after_s=0)).is_clean
    death = lab.Message(messages[-1].ns + 1, "NDEATH", bd_seq=0, qos=1)
    goodbye = WireMessage(death.ns, None, death.topic, lab.encode(death, 0), 1, False)
    edge = one(watch([*messages, goodbye], until_ns=later_ns))
    assert (edge.status, edge.stale, edge.is_clean) == ("offline", False, True)


def test_an_edge_node_that_publishes_after_its_own_ndeath_is_offline_and_in_breach(lab, plan):
    messages = [m for m in wires(lab, plan) if m.ns < lab.at(90)]
    death = lab.Message(messages[-2].ns + 1, "NDEATH", bd_seq=0, qos=1)
    goodbye = WireMessage(death.ns, None, death.topic, lab.encode(death, 0), 1, False)
    edge = one(watch([*messages[:-1], goodbye, messages[-1]]))
    assert (edge.status, set(edge.breaches)) == ("offline", {"nbirth_first"})


def test_a_retained_birth_is_a_breach_and_no_birth(lab, plan):
    birth = next(m for m in wires(lab, plan) if "NBIRTH" in m.topic)
    edge = one(watch([birth._replace(retain=True)]))
    assert (edge.status, edge.breaches) == ("birth not seen", {"qos_retain": 1})


def test_a_rebirth_command_that_nobody_answers_is_a_note(lab, plan):
    messages = wires(lab, plan)
    command = lab.Message(lab.at(30.5), "NCMD")
    asked = WireMessage(command.ns, None, command.topic, lab.encode(command, 0), 0, False)
    edge = one(watch(sorted([*messages, asked], key=lambda m: m.ns)))
    assert edge.rebirth_commands == 1
    assert edge.notes["rebirth"] == 1
    assert edge.is_clean


def test_nothing_of_sparkplug_is_nothing_seen():
    foreign = WireMessage(1, None, "factory/line1", b"{}", 0, False)
    command = WireMessage(2, None, "spBv1.0/g/NCMD/e", b"", 0, False)
    report = watch([foreign, command])
    assert (report.verdict, report.messages, report.edges) == ("nothing seen", 2, [])


def test_births_beyond_the_bound_end_the_following_of_that_edge_node_alone(lab, plan, monkeypatch):
    monkeypatch.setattr(monitor_module, "EDGE_BYTES_MAX", 100_000)
    good = wires(lab, plan)
    other = "spBv1.0/other/{}/node".format

    def flood(number):
        samples = [lab.Sample("d", f"metric-{number}-{n}", 1, 1.0) for n in range(50)]
        kind = "NBIRTH" if number == 0 else "DBIRTH"
        message = lab.Message(good[number].ns, kind, "d", samples)
        topic = other(kind) + ("/d" if number else "")
        return WireMessage(good[number].ns, None, topic, lab.encode(message, number), 0, False)

    report = watch([message for n, own in enumerate(good[:200]) for message in (own, flood(n))])
    edges = {edge.edge: edge for edge in report.edges}
    assert edges["other/node"].status == "not followed"
    assert "flood" in {finding.rule for finding in edges["other/node"].examples}
    assert edges[lab.EDGE].is_clean


def test_a_device_that_is_born_again_and_again_takes_no_more_room(lab, plan, monkeypatch):
    monkeypatch.setattr(monitor_module, "EDGE_BYTES_MAX", 100_000)
    messages = wires(lab, plan)
    first = next(m for m in messages if "NBIRTH" in m.topic)
    birth = lab.Message(first.ns, "DBIRTH", lab.DEVICES[0], [lab.sample_of(t, 5) for t in lab.TOPICS])
    again = [
        WireMessage(first.ns + n, None, birth.topic, lab.encode(birth, n), 0, False) for n in range(1, 2000)
    ]
    assert one(watch([first, *again])).status == "online"


def test_edge_nodes_beyond_the_bound_are_counted(lab, plan):
    messages = [
        WireMessage(n, None, f"spBv1.0/g/NDATA/e{n}", b"\x18\x00", 0, n % 2 == 0)
        for n in range(EDGES_MAX + 7)
    ]
    report = watch(messages)
    assert (len(report.edges), report.unfollowed) == (EDGES_MAX, 7)


TOPICS = st.one_of(
    st.sampled_from([NBIRTH, NDATA, "spBv1.0/g/NDEATH/e", "spBv1.0/g/NCMD/e", "spBv1.0/g/DBIRTH/e/d"]),
    st.sampled_from(["spBv1.0/g/DDATA/e/d", "spBv1.0/g/DDEATH/e/d", "spBv1.0/STATE/h", "spBv1.0", "/", ""]),
    st.text(max_size=40),
    st.text(max_size=20).map(lambda text: f"spBv1.0/{text}"),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(TOPICS, st.binary(max_size=60), st.integers(0, 2), st.booleans()), max_size=12))
@example([("spBv1.0/g/NDEATH/e", b"\x12\x10\x0a\x05bdSeq\x20\x04\x58\xff\xff\xff\xff\x7f", 1, False)] * 3)
def test_nothing_that_is_published_can_stop_it(published):
    watch([WireMessage(n, None, *message) for n, message in enumerate(published)])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_good_stream_can_stop_it(lab, stream, data):
    messages = list(stream)
    for _ in range(data.draw(st.integers(1, 5))):
        index = data.draw(st.integers(0, len(messages) - 1))
        payload = bytearray(messages[index].payload)
        at = data.draw(st.integers(0, max(0, len(payload) - 1)))
        payload[at : at + 1] = data.draw(st.binary(max_size=3))
        messages[index] = messages[index]._replace(payload=bytes(payload))
    watch(messages)


@pytest.fixture(scope="module")
def stream(lab):
    return wires(lab, lab.healthy(20, wan=(8, 10), host=(15, 16)))

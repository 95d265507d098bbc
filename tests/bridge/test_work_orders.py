"""The outbox by hand, and against a CMMS that loses requests and answers at random."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.bridge.core.context import SLACK_MS, Context
from shakedown.bridge.core.model import BAD, Sample
from shakedown.bridge.core.work_orders import (
    CONTEXT_WAIT_NS,
    FOLLOW_NS,
    NS,
    REFUSED_S,
    RETRY_MAX_S,
    WorkOrder,
    WorkOrders,
)


def order(occurrence: int = 1, raised_s: int = 0) -> WorkOrder:
    reason = {"metric": "c.a/t", "limit": 10.0, "value": 11.0, "unit": "CEL", "text": "hot"}
    return WorkOrder(
        f"c.a/hot/{occurrence}", "c.a", "hot", occurrence, "high", raised_s * 1000, "EQ", "kim", reason
    )


def only(orders: WorkOrders) -> WorkOrder:
    (found,) = orders.by_place.values()
    return found


def test_an_order_is_written_down_completed_sent_and_followed() -> None:
    orders = WorkOrders()
    orders.raised(order(), 5 * NS)
    assert orders.due(5 * NS) == []
    assert only(orders).due_ns == 5 * NS + CONTEXT_WAIT_NS
    (due,) = orders.due(only(orders).due_ns)
    orders.froze(due, [{"metric": "c.a/t", "unit": "CEL", "samples": []}])
    due = orders.completed(only(orders), "P-1")
    assert due.body["physical_asset"] == "P-1"
    orders.told(due, "WO-1", "open", None, 8 * NS)
    assert only(orders).due_ns == 8 * NS + FOLLOW_NS
    orders.told(only(orders), "WO-1", "open", None, 9 * NS)
    orders.told(only(orders), "WO-1", "in_progress", None, 10 * NS)
    orders.told(only(orders), "WO-1", "closed", 9000, 11 * NS)
    saved, news = orders.drain()
    assert [(o.id, o.state, ns // NS) for o, ns in news] == [
        ("", "pending", 5), ("WO-1", "open", 8), ("WO-1", "in_progress", 10), ("WO-1", "closed", 11),
    ]  # fmt: skip
    assert saved == {("c.a", "hot"): None}
    assert not orders.by_place


def test_a_context_is_frozen_in_time_of_an_order_that_waits_too() -> None:
    orders = WorkOrders()
    orders.raised(order(1), 5 * NS)
    orders.raised(order(2, 60), 60 * NS)
    assert orders.to_freeze(5 * NS) == []
    assert [o.occurrence for o in orders.to_freeze(7 * NS)] == [1]
    assert [o.occurrence for o in orders.to_freeze(62 * NS)] == [1, 2]
    for fresh in orders.to_freeze(62 * NS):
        orders.froze(fresh, [{"of": fresh.occurrence}])
    assert orders.to_freeze(600 * NS) == []
    saved, _ = orders.drain()
    orders = WorkOrders()
    orders.restore(saved["c.a", "hot"])
    assert orders.to_freeze(600 * NS) == []
    assert only(orders).context == [{"of": 1}]
    orders.told(only(orders), "WO-1", "closed", 30_000, 900 * NS)  # before the second one spoke
    assert (only(orders).occurrence, only(orders).context) == (2, [{"of": 2}])
    assert only(orders).due_ns == 900 * NS, "it need not wait for its signals any more"


@pytest.mark.parametrize(("ended_s", "needed"), [(40, [2, 3]), (50, [2, 3]), (51, [3]), (56, [])])
def test_an_annunciation_behind_an_open_order_gets_one_if_that_was_closed_before(
    ended_s: int, needed: list[int]
) -> None:
    orders = WorkOrders()
    orders.raised(order(), 0)
    orders.told(only(orders), "WO-1", "open", None, 1)
    orders.raised(order(2, raised_s=50), 50 * NS)
    orders.raised(order(3, raised_s=55), 55 * NS)
    assert only(orders).occurrence == 1
    orders.told(only(orders), "WO-1", "closed", ended_s * 1000, 60 * NS)
    left = [
        o
        for known in orders.by_place.values()
        for o in (known.occurrence, *(a["occurrence"] for a in known.again))
    ]
    assert left == needed


def test_attempts_back_off_and_a_success_forgets_them() -> None:
    orders = WorkOrders()
    orders.raised(order(), 0)
    delays = []
    for _ in range(7):
        orders.failed(only(orders), 0)
        delays.append(only(orders).due_ns // NS)
    assert delays == [1, 2, 4, 8, 16, 30, RETRY_MAX_S]
    orders.told(only(orders), "WO-1", "open", None, 0)
    assert only(orders).attempts == 0
    orders.hint(3)
    assert only(orders).due_ns == 3


def test_a_refused_order_is_kept_and_told() -> None:
    orders = WorkOrders()
    orders.raised(order(), 0)
    orders.refused(only(orders), 0)
    orders.refused(only(orders), 0)
    assert (only(orders).state, only(orders).due_ns) == ("refused", REFUSED_S * NS)
    assert [o.state for o, _ in orders.drain()[1]] == ["pending", "refused"]


STEPS = st.lists(st.sampled_from(["ok", "lost", "answer lost", "restart", "raise", "close"]), max_size=60)


@given(STEPS)
def test_exactly_one_order_whatever_is_lost(steps: list[str]) -> None:
    """The CMMS knows orders by key. After every crash the outbox goes on with what was on disk."""
    orders, disk, cmms = WorkOrders(), {}, {}
    now_ns, occurrence, expected = 0, 0, []
    last_closed_ns = -1

    def sync() -> None:
        for place, saved in orders.drain()[0].items():
            disk[place] = json.dumps(saved)
            if saved is None:
                del disk[place]

    def attempt(outcome: str) -> None:
        for due in orders.due(now_ns):
            whole = due
            if not due.is_complete:
                orders.froze(due, [{"at": now_ns}])
                whole = orders.completed(orders.by_place[due.place], "P")
            sync()
            if outcome == "lost":
                orders.failed(whole, now_ns)
                continue
            stored = cmms.setdefault(whole.key, {"state": "open", "body": whole.body, "ended": None})
            if not whole.id:
                assert stored["body"] == whole.body, "another body under the same key"
            if outcome == "answer lost":
                orders.failed(whole, now_ns)
            else:
                orders.told(whole, whole.key, stored["state"], stored["ended"], now_ns)

    for step in [*steps, *["ok"] * 4]:
        now_ns += 60 * NS
        if step == "raise":
            occurrence += 1
            is_open = not expected or cmms.get(expected[-1], {}).get("state") == "closed"
            if is_open or not expected:
                expected.append(order(occurrence).key)
            orders.raised(order(occurrence, now_ns // NS), now_ns)
        elif step == "close":
            for stored in cmms.values():
                if stored["state"] == "open":
                    stored.update(state="closed", ended=now_ns // 1_000_000)
                    last_closed_ns = now_ns
        elif step == "restart":
            sync()
            orders = WorkOrders()
            for saved in disk.values():
                orders.restore(json.loads(saved))
        else:
            attempt(step)
        sync()
    assert last_closed_ns < now_ns
    assert list(cmms) == expected


def test_the_context_is_the_window_before_the_alarm_both_ends_included() -> None:
    context = Context([1], 300_000)
    for ts_ms in (99_999, 100_000, 250_000, 400_000, 400_001):
        context.take(Sample(1, ts_ms, ts_ms / 2))
    context.take(Sample(1, 200_000, None, BAD))
    context.take(Sample(1, 200_000, None, BAD))
    assert context.last(1, 400_000) == [
        (100_000, 50_000.0, 192), (200_000, None, BAD), (250_000, 125_000.0, 192), (400_000, 200_000.0, 192),
    ]  # fmt: skip
    context.take(Sample(1, 400_000 + SLACK_MS, 0.0))
    assert len(context.last(1, 400_000)) == 4
    assert context.last(2, 400_000) == []

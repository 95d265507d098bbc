"""Broken work orders: the outbox, and the client of the CMMS."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.core.work_orders import CONTEXT_WAIT_NS, WorkOrders
from shakedown.bridge.north.cmms import Answer, CmmsUnavailable, EmbeddedAdapter
from shakedown.bridge.north.cmms_http import CmmsHttp
from tests.mutants.mutant import Mutant

LATE_S, WAIT_S = 200.0, 170.0
EARLY_MS = 60_000


class UsesANewKeyEachTime(EmbeddedAdapter):
    """Enters an order under a new idempotency key at each attempt."""

    attempts = 0

    async def create(self, order):
        self.attempts += 1
        return await super().create(replace(order, key=f"{order.key}/{self.attempts}"))


class BelievesThatItIsDone(EmbeddedAdapter):
    """Takes an order for done that was not answered."""

    async def create(self, order):
        try:
            return await super().create(order)
        except CmmsUnavailable:
            return Answer("unknown", "closed", time.time_ns() // 1_000_000)


class RemembersTheAsset(EmbeddedAdapter):
    """Asks once which physical asset an equipment is, and never again."""

    def __init__(self, http):
        super().__init__(http)
        self.known = {}

    async def asset(self, order):
        if order.equipment not in self.known:
            self.known[order.equipment] = await super().asset(order)
        return self.known[order.equipment]


class NamesTheNeighbour(EmbeddedAdapter):
    """Orders for the capper what is to be done at the filler."""

    async def create(self, order):
        return await super().create(replace(order, equipment=order.equipment.replace("FILLER", "CAPPER")))


class TellsAnotherValue(EmbeddedAdapter):
    """Gives as the reason a value that the metric did not have."""

    async def create(self, order):
        value = order.reason["value"]
        value = value * 1.01 if isinstance(value, float) else "run"
        return await super().create(replace(order, reason={**order.reason, "value": value}))


class ForgetsTheLimit(EmbeddedAdapter):
    """Gives no limit in the reason."""

    async def create(self, order):
        return await super().create(replace(order, reason={**order.reason, "limit": None}))


class IsLate(EmbeddedAdapter):
    """Waits for more than three minutes before it enters an order."""

    async def create(self, order):
        await asyncio.sleep(LATE_S)
        return await super().create(order)


class NeverFollows(EmbeddedAdapter):
    """Does not ask what became of an order."""

    async def follow(self, order):
        return Answer(order.id, order.state)


class WaitsLongAfterAFailure(WorkOrders):
    """Tries again three minutes after an attempt that failed, so that each short cut costs as much."""

    def failed(self, order, now_ns):
        self._set(replace(order, attempts=order.attempts + 1, due_ns=now_ns + int(WAIT_S * 1e9)))


class EndsItsContextEarly(Bridge):
    """Attaches the minutes that end one minute before the alarm."""

    def _operations_of(self, compiled):
        operations = super()._operations_of(compiled)
        last = operations.context.last
        operations.context.last = lambda metric_id, until_ms: last(metric_id, until_ms - EARLY_MS)
        return operations


class ThinsItsContext(WorkOrders):
    """Attaches nine of ten samples."""

    def froze(self, order, context):
        thin = [
            {**signal, "samples": [s for n, s in enumerate(signal["samples"]) if n % 10 != 5]}
            for signal in context
        ]
        super().froze(order, thin)


class OrdersForEveryAlarm(Bridge):
    """Raises an order for alarms that need none, too."""

    def __init__(self, site, **others):
        alarms = {
            name: rule.model_copy(update={"work_order": True})
            for name, rule in site.alarms.items()
            if rule.metric.rpartition("/")[0] in site.equipment
        }
        super().__init__(site.model_copy(update={"alarms": site.alarms | alarms}), **others)


class OrdersAgain(WorkOrders):
    """Raises a second order for an alarm that speaks again while the first is open."""

    def raised(self, order, now_ns):
        self._set(replace(order, due_ns=now_ns + CONTEXT_WAIT_NS), now_ns)


class NamesTheNextOccurrence(WorkOrders):
    """Raises an order for the annunciation after the one that calls for it."""

    def raised(self, order, now_ns):
        super().raised(replace(order, occurrence=order.occurrence + 1), now_ns)


class TakesOrdersBack(WorkOrders):
    """Says two seconds after each word on an order that is there that it was refused."""

    def drain(self):
        changed, news = super().drain()
        back = [(replace(o, id="", state="refused"), ns + 2 * 10**9) for o, ns in news if o.id]
        return changed, [*news, *back]


DRILL = "shift_orders.yaml"


def _client(name: str, client: type[EmbeddedAdapter], drill: str = DRILL, *, quick: bool = False) -> Mutant:
    def adapter(config, address):
        return client(CmmsHttp(config, address))

    adapter.__doc__ = client.__doc__
    return Mutant(name, ("work_orders",), Parts(cmms=adapter), drill=drill, quick=quick)


def _outbox(name: str, orders: type[WorkOrders], drill: str = DRILL) -> Mutant:
    return Mutant(name, ("work_orders",), Parts(work_orders=orders), drill=drill)


def _bridge(name: str, bridge: type[Bridge]) -> Mutant:
    return Mutant(name, ("work_orders",), bridge=bridge, drill=DRILL)


ORDERS = (
    _client("uses_a_new_key_each_time", UsesANewKeyEachTime, quick=True),
    _client("believes_that_it_is_done", BelievesThatItIsDone),
    _client("remembers_the_asset", RemembersTheAsset),
    _client("names_the_neighbour", NamesTheNeighbour),
    _client("tells_another_value", TellsAnotherValue),
    _client("forgets_the_limit", ForgetsTheLimit),
    _client("is_late", IsLate, "shift_drill.yaml"),
    _client("never_follows", NeverFollows),
    _bridge("ends_its_context_early", EndsItsContextEarly),
    _outbox("thins_its_context", ThinsItsContext),
    _bridge("orders_for_every_alarm", OrdersForEveryAlarm),
    _outbox("orders_again", OrdersAgain, "shift_drill.yaml"),
    _outbox("names_the_next_occurrence", NamesTheNextOccurrence),
    _outbox("takes_orders_back", TakesOrdersBack),
    _outbox("waits_long_after_a_failure", WaitsLongAfterAFailure, "shift_flaps.yaml"),
)

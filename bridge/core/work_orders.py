"""Work orders: one for an alarm that needs one, sent once however often it is tried, followed until it is closed.

An order is first written down (pending). Its context is frozen while the signals are at hand, whether the CMMS answers
or not, and it is complete when the physical asset has been looked up. From then on each attempt sends the same bytes
under the same key, so that a CMMS that heard the last one can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

NS = 1_000_000_000

CONTEXT_WAIT_NS = 2 * NS
"""An order's context waits this long for samples of the same moment that are still on their way."""

FOLLOW_NS = 10 * NS
"""How often the CMMS is asked how an open order is."""

RETRY_MIN_S, RETRY_MAX_S = 1, 30
"""Delay before another attempt; it doubles from the first to the second."""

REFUSED_S = 300
"""Delay after the CMMS has refused an order for what is in it: somebody must mend one of the two."""

AGAIN_MAX = 10
"""Annunciations remembered behind an open order; the newest count."""

ENDED = frozenset({"closed", "cancelled"})


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One order as the outbox holds it; `state` is pending, refused, or what the CMMS says."""

    key: str  # the idempotency key, for ever
    device: str
    alarm: str
    occurrence: int
    priority: str
    raised_ms: int
    equipment: str
    owner: str
    reason: Mapping[str, Any]
    context: Sequence[Mapping[str, Any]] = ()
    freeze_ns: int = 0  # when its context is to be frozen
    is_frozen: bool = False
    physical_asset: str = ""
    is_complete: bool = False  # asset and context are in it: what is sent no longer changes
    id: str = ""  # the CMMS's
    state: str = "pending"
    attempts: int = 0  # since the last success
    due_ns: int = 0
    again: Sequence[Mapping[str, Any]] = ()  # later annunciations, in case this order was closed before one

    @property
    def place(self) -> tuple[str, str]:
        return self.device, self.alarm

    @property
    def body(self) -> dict[str, Any]:
        """What the CMMS is told (docs/operations.md)."""
        names = (
            "equipment", "physical_asset", "alarm", "device", "occurrence", "priority", "raised_ms", "reason",
            "context", "owner",
        )  # fmt: skip
        body = {name: getattr(self, name) for name in names}
        return body if self.physical_asset else {k: v for k, v in body.items() if k != "physical_asset"}


class WorkOrders:
    """The outbox: at most one order, and one waiting behind it, for each alarm."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[str, str], WorkOrder] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._published: list[tuple[WorkOrder, int]] = []

    def raised(self, order: WorkOrder, now_ns: int) -> None:
        """An alarm that needs an order was annunciated. While one is open, this one only waits behind it."""
        freeze_ns = order.freeze_ns or now_ns + CONTEXT_WAIT_NS
        order = replace(order, freeze_ns=freeze_ns)
        known = self.by_place.get(order.place)
        if known is None:
            self._set(replace(order, due_ns=max(now_ns, freeze_ns)), now_ns)
        else:
            self._set(replace(known, again=(*known.again, asdict(order))[-AGAIN_MAX:]))

    def to_freeze(self, now_ns: int) -> list[WorkOrder]:
        """Orders whose context must be frozen now, those that wait behind another one too."""
        known = list(self.by_place.values())
        waiting = [WorkOrder(**later) for order in known for later in order.again]
        return [order for order in (*known, *waiting) if not order.is_frozen and order.freeze_ns <= now_ns]

    def froze(self, order: WorkOrder, context: Sequence[Mapping[str, Any]]) -> None:
        """This is the context of an order, and remains it."""
        known = self.by_place[order.place]
        if known.key == order.key:
            self._set(replace(known, context=context, is_frozen=True))
        else:
            frozen = asdict(replace(order, context=context, is_frozen=True))
            again = tuple(frozen if later["key"] == order.key else later for later in known.again)
            self._set(replace(known, again=again))

    def due(self, now_ns: int) -> list[WorkOrder]:
        """Orders to be sent (no `id`) or asked for (with one), oldest first."""
        due = [order for order in self.by_place.values() if order.due_ns <= now_ns]
        return sorted(due, key=lambda order: (order.raised_ms, order.key))

    # ---- what came of it

    def completed(self, order: WorkOrder, physical_asset: str) -> WorkOrder:
        """The asset is known too."""
        return self._set(replace(order, physical_asset=physical_asset, is_complete=True))

    def told(self, order: WorkOrder, order_id: str, state: str, ended_ms: int | None, now_ns: int) -> None:
        """The CMMS has answered: the order is there, in a state; `ended_ms` says since when it is closed."""
        if state not in ENDED:
            told = replace(order, id=order_id, state=state, attempts=0, due_ns=now_ns + FOLLOW_NS, context=())
            self._set(told, now_ns if (order_id, state) != (order.id, order.state) else None)
            return
        self._published.append((replace(order, id=order_id, state=state), now_ns))
        del self.by_place[order.place]
        self._changed[order.place] = None
        for later in order.again:
            if ended_ms is None or ended_ms <= later["raised_ms"]:
                self.raised(WorkOrder(**later), now_ns)

    def failed(self, order: WorkOrder, now_ns: int) -> None:
        """No answer, or none that says what became of the order."""
        delay_s = min(RETRY_MIN_S * 2 ** min(order.attempts, 16), RETRY_MAX_S)
        self._set(replace(order, attempts=order.attempts + 1, due_ns=now_ns + delay_s * NS))

    def refused(self, order: WorkOrder, now_ns: int) -> None:
        """The CMMS will not have it as it is."""
        due_ns = now_ns + REFUSED_S * NS
        state = order.state if order.id else "refused"
        refused = replace(order, state=state, attempts=order.attempts + 1, due_ns=due_ns)
        self._set(refused, now_ns if state != order.state else None)

    def hint(self, now_ns: int) -> None:
        """Something has changed at the CMMS: ask for every open order now."""
        for order in list(self.by_place.values()):
            if order.id:
                self._set(replace(order, due_ns=now_ns))

    # ---- over a restart

    def drain(self) -> tuple[dict[tuple[str, str], dict[str, Any] | None], list[tuple[WorkOrder, int]]]:
        """Orders that must be written down (None: forgotten), and those whose state is news, with the time of it."""
        changed, self._changed = self._changed, {}
        published, self._published = self._published, []
        return {
            place: asdict(self.by_place[place]) if place in self.by_place else None for place in changed
        }, published

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue an order; what was due is due."""
        order = WorkOrder(**saved)
        self.by_place[order.place] = order

    def _set(self, order: WorkOrder, published_ns: int | None = None) -> WorkOrder:
        self.by_place[order.place] = order
        self._changed[order.place] = None
        if published_ns is not None:
            self._published.append((order, published_ns))
        return order

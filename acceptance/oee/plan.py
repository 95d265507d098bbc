"""When a line is planned to produce, as `site.yaml` says it on the wall clock of a time zone (docs/oee.md).

Plant and site each have a calendar. Where they disagree the run shows nothing about the bridge.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shakedown.acceptance.files import Problem
from shakedown.acceptance.oee.oracle import shifts_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.readers import Ledger

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFF_NS = 1_000_000_000
REMEDY = "give the plant's calendar and oee.planned the same shifts"


class Planned(NamedTuple):
    """One shift of the plan, in ns."""

    name: str
    from_ns: int
    to_ns: int


def planned_shifts(plan: dict[str, Any], from_ns: int, to_ns: int) -> Iterator[Planned]:
    """The shifts that begin on the dates from the day before `from_ns` to that of `to_ns`. Raises KeyError, ValueError.

    A time that the clock skips has the offset of before, one that comes twice is the first.
    """
    zone = ZoneInfo(str(plan.get("time_zone") or "UTC"))
    holidays = {str(day) for day in plan.get("holidays") or ()}
    first, last = (
        (EPOCH + timedelta(microseconds=ns // 1000)).astimezone(zone).date() for ns in (from_ns, to_ns)
    )
    for day in range((last - first).days + 3):
        midnight = datetime.combine(first + timedelta(days=day - 2), datetime.min.time())
        for shift in plan.get("planned") or ():
            begin = midnight + timedelta(
                seconds=float(plan.get("offset_s") or 0.0) + float(shift["begins_s"])
            )
            end = begin + timedelta(seconds=float(shift["lasts_s"]))
            if _is_worked(begin.date(), shift.get("days") or DAYS, holidays):
                yield Planned(str(shift["name"]), _ns(begin, zone), _ns(end, zone))


def _is_worked(day: date, days: Any, holidays: set[str]) -> bool:
    return DAYS[day.weekday()] in days and day.isoformat() not in holidays


def _ns(wall: datetime, zone: ZoneInfo) -> int:
    return (wall.replace(tzinfo=zone) - EPOCH) // timedelta(microseconds=1) * 1000


def unplanned(line: OeeLine, ledger: Ledger) -> list[Problem]:
    """The shifts in which the plant worked, and that the site does not plan."""
    found = []
    for name, from_ns, to_ns in shifts_of(ledger) if line.plan.get("planned") else ():
        alike = (
            one.name == name and abs(one.from_ns - from_ns) <= OFF_NS and abs(one.to_ns - to_ns) <= OFF_NS
            for one in planned_shifts(line.plan, from_ns, to_ns)
        )
        if not any(alike):
            begin, end = (EPOCH + timedelta(microseconds=ns // 1000) for ns in (from_ns, to_ns))
            when = f"from {begin:%F %T} to {end:%F %T} UTC"
            what = f"the plant worked in shift {name!r} {when}, which oee.{line.name} does not plan"
            found.append(Problem(what, f"site.yaml, oee.{line.name}.planned", REMEDY))
    return found

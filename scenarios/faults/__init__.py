"""The faults: one small file each, listed here, and those of installed packages (entry points `shakedown.faults`)."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from shakedown.scenarios import plug_ins
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.faults.alarm_command import AlarmCommand
from shakedown.scenarios.faults.blackhole import Blackhole
from shakedown.scenarios.faults.cmms_errors import CmmsErrors
from shakedown.scenarios.faults.crash import Crash
from shakedown.scenarios.faults.down import Down
from shakedown.scenarios.faults.fault import Evidence, Fault, Targets
from shakedown.scenarios.faults.foreign_state import ForeignState
from shakedown.scenarios.faults.freeze import Freeze
from shakedown.scenarios.faults.rebirth_request import RebirthRequest
from shakedown.scenarios.faults.reset import Reset
from shakedown.scenarios.faults.restart import Restart
from shakedown.scenarios.faults.slow import Slow
from shakedown.scenarios.faults.stall import Stall

GROUP = "shakedown.faults"
OURS: tuple[type[Fault], ...] = (
    Blackhole,
    Stall,
    Down,
    Reset,
    Slow,
    Crash,
    Freeze,
    Restart,
    RebirthRequest,
    ForeignState,
    AlarmCommand,
    CmmsErrors,
)


def kind_of(fault: type[Fault]) -> str:
    """What a scenario calls that fault."""
    return str(get_args(fault.model_fields["kind"].annotation)[0])


def _all() -> tuple[type[Fault], ...]:
    """Ours and those of installed packages. Raises UsageError for one that cannot be had."""
    found = {kind_of(fault): fault for fault in OURS}
    ours = {kind: f"{fault.__module__}:{fault.__name__}" for kind, fault in found.items()}
    for kind, place in plug_ins.beside(ours, GROUP).items():
        if kind not in ours:
            found[kind] = plug_ins.load(place, Fault, GROUP, kind)
            if get_args(found[kind].model_fields["kind"].annotation) != (kind,):
                raise UsageError(f"Entry point {kind!r} of {GROUP} ({place}) is a fault of another kind. Declare it "
                                 f"there: kind: Literal[{kind!r}].")  # fmt: skip
    return tuple(found.values())


FAULTS = _all()

if TYPE_CHECKING:
    AnyFault = Fault
else:
    AnyFault = Annotated[reduce(or_, FAULTS), Field(discriminator="kind")]

__all__ = ["FAULTS", "AnyFault", "Evidence", "Fault", "Targets", "kind_of"]

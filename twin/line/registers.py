"""Registers: what a controller shows without a sensor, such as its state and its counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shakedown.twin.line.signal_spec import UNSIGNED, SignalSpec, integer_limits
from shakedown.twin.line.states import StopReason

Value = bool | int | float | str | None

_READERS: dict[str, Callable[[Any], Value]] = {
    "state": lambda machine: int(machine.state),
    "stop_reason": lambda machine: machine.stop_reason,
    "product": lambda machine: machine.label,
    "order": lambda machine: machine.order,
    "infeed": lambda machine: machine.infeed,
    "good": lambda machine: machine.good,
    "reject": lambda machine: machine.reject,
    "total": lambda machine: machine.total,
    "reworked": lambda machine: machine.reworked,
    "step": lambda machine: machine.step,
    "starved": lambda machine: machine.stop_reason == StopReason.STARVED,
    "blocked": lambda machine: machine.stop_reason == StopReason.BLOCKED,
    "running": lambda conveyor: conveyor.running,
    "parts": lambda conveyor: conveyor.parts,
    "refilling": lambda reservoir: reservoir.refilling,
}


def reader(spec: SignalSpec, owner: object) -> Callable[[int], Value]:
    """A function of the scan's number that reads the register; unsigned counters roll over as their type does."""
    if spec.show == "heartbeat":
        _, mask = integer_limits(spec.type)
        return lambda scan: scan & mask
    assert spec.show is not None
    read = _READERS[spec.show]
    if spec.type in UNSIGNED:
        _, mask = integer_limits(spec.type)
        return lambda scan: read(owner) & mask  # type: ignore[operator]
    return lambda scan: read(owner)

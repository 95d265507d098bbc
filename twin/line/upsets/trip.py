"""A trip that sets off a flood: one machine fails, and signals all over the line run away one after the other."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shakedown.twin.line.quantities import Seconds, SecondsOrNone
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.specs import FailureMode
from shakedown.twin.line.upsets.upset import Distortion, MachineUpset, Offer, Value, fitted


class Trip(MachineUpset):
    """A trip that sets off a flood: a machine fails, and `shifts` (signal to offset) set in, `stagger_s` apart."""

    kind: Literal["trip"]
    shifts: dict[str, float] = Field(min_length=1, description="<owner>.<signal>: offset, the vendor's unit")
    stagger_s: SecondsOrNone = 2.0
    rise_s: SecondsOrNone = Field(
        default=10.0, description="until a signal with inertia (tau_s) has moved so far, and until it is back"
    )
    lasts_s: Seconds = 120.0

    def mode_problem(self, mode: FailureMode) -> str | None:
        return "develops over time - a trip comes at once; leave out develops" if mode.develops else None

    def distortion(self, name: str, signal: SignalSpec) -> Distortion:
        """The shift of one signal; it sets in when it is its turn."""
        after_s = list(self.shifts).index(name) * self.stagger_s
        rise_s = min(self.rise_s, signal.response.tau_s if signal.response else 0.0)
        return _Shift(self.shifts[name], after_s, rise_s, self.lasts_s, signal)


class _Shift(Distortion):
    """Steady in time: no winding is hotter by 120 degrees from one scan to the next."""

    def __init__(
        self, shift: float, after_s: float, rise_s: float, lasts_s: float, signal: SignalSpec
    ) -> None:
        self._shift, self._after_s, self._signal = shift, after_s, signal
        self._rise_s, self._lasts_s = rise_s, lasts_s

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, (int, float))
        if elapsed_s < self._after_s:
            return value, 0
        share = 1.0
        if self._rise_s:
            share = min(
                1.0, (elapsed_s - self._after_s) / self._rise_s, (self._lasts_s - elapsed_s) / self._rise_s
            )
        return fitted(self._signal, value + self._shift * max(0.0, share)), 0

"""One alarm as configured, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

from shakedown.bridge.core.alarm_states import State
from shakedown.bridge.core.model import Value

MINUTE_NS = 60 * 1_000_000_000

RATIONALE = ("cause", "consequence", "response", "respond_s")
"""What makes an alarm one that somebody has thought about, beside its priority."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """One alarm as configured; exactly one of `high`, `low`, `equals` and `is_bad` is given."""

    device: str
    name: str
    metric_id: int
    high: float | None = None
    low: float | None = None
    equals: str | bool | None = None
    deadband: float = 0.0
    on_delay_ns: int = 0
    off_delay_ns: int = 0
    latching: bool = False
    confirm: bool = False
    re_alarm_ns: int = 0  # 0: never
    suppress_in: frozenset[str] = frozenset()
    state_metric_id: int | None = None
    priority: str = "medium"
    work_order: bool = False
    text: str = ""
    cause: str = ""  # the rationalisation (ISA-18.2, 6.2.4): what it means, and what to do
    consequence: str = ""
    response: str = ""
    respond_s: float = 0.0  # time to respond; 0: nobody has said
    context_ids: tuple[int, ...] = ()  # metrics whose last minutes explain the alarm
    bad_after_ns: int = MINUTE_NS  # a state that is not usable for so long suppresses no more
    is_bad: bool = False  # the alarm of a sensor that stays bad: beyond while the newest sample is not usable

    @property
    def key(self) -> tuple[str, str]:
        return self.device, self.name

    @property
    def rationale(self) -> dict[str, str | float]:
        """What an operator is shown of the alarm beside its state, as far as somebody has written it."""
        shown = ("priority", "text", *RATIONALE)
        return {name: value for name in shown if (value := getattr(self, name))}

    @property
    def missing(self) -> list[str]:
        """What of its rationalisation nobody has written."""
        return [name for name in RATIONALE if not getattr(self, name)]

    @property
    def limit(self) -> float | str | bool:
        """The threshold, whichever kind it is."""
        limits = (self.high, self.low, self.equals)
        return next((limit for limit in limits if limit is not None), "bad")

    def is_beyond(self, value: Value, was_beyond: bool) -> bool:
        """Whether a usable value is alarming; the deadband is the way back that it must go to be normal again."""
        if self.equals is not None:
            return value == self.equals
        margin = self.deadband if was_beyond else 0.0
        if self.high is not None:
            return value > self.high - margin  # type: ignore[operator]
        return value < self.low + margin  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm shows another state: `value` is the newest beyond its limit then, `by` the operator if there was one."""

    rule: AlarmRule
    ts_ns: int
    state: State
    occurrence: int  # ordinal of the newest annunciation, 0 before the first
    annunciates: bool
    value: Value = None
    by: str = ""

"""What flows between machines: parts, and the conveyors that carry them."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

import simpy

from shakedown.twin.line.ramp import Ramp
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.specs import ConveyorSpec
from shakedown.twin.line.states import StopReason


class Part(NamedTuple):
    """A bottle, or a case of bottles, or a pallet of cases: `contents` are the ids of what was packed into it.

    `id` is unique among what one machine makes, `serial` on the whole line; `lot` is that of its order.
    """

    id: int
    product: str
    lot: str
    serial: str
    bottles: int = 1
    contents: tuple[int, ...] = ()


class Source(Protocol):
    """Where a machine takes parts from; `lack` is why it stops when there are none."""

    lack: StopReason

    def ready(self) -> bool: ...
    def wait_ready(self) -> simpy.Event: ...
    def take(self) -> Part: ...
    def fill(self) -> float: ...


class Sink(Protocol):
    """Where a machine puts parts."""

    def has_room(self) -> bool: ...
    def wait_room(self) -> simpy.Event: ...
    def put(self, part: Part) -> None: ...


class Conveyor:
    """A belt with room for so many parts, between one machine that puts and one that takes; first in, first out."""

    lack = StopReason.STARVED

    def __init__(self, spec: ConveyorSpec, env: simpy.Environment) -> None:
        self.capacity = spec.capacity
        self._env = env
        self._transit_ms = round(spec.transit_s * MS_PER_S)
        self._parts: deque[tuple[int, Part]] = deque()  # at most `capacity`
        self._ramp = Ramp(spec.ramp_s)
        self.running = False
        self._taker: simpy.Event | None = None
        self._putter: simpy.Event | None = None

    @property
    def parts(self) -> int:
        """How many parts are on the belt."""
        return len(self._parts)

    @property
    def bottles(self) -> int:
        """How many bottles are on the belt, those in cases counted singly."""
        return sum(part.bottles for _, part in self._parts)

    def scan(self, producing: bool, elapsed_ms: int) -> tuple[float, ...]:
        """Move on to the next scan and say what drives the physics (drivers.CONVEYOR_DRIVERS).

        The belt runs while a neighbour produces or a part is still on its way.
        """
        self.running = producing or (bool(self._parts) and self._parts[-1][0] > self._env.now)
        return self._ramp.move(float(self.running), elapsed_ms), self.fill()

    def fill(self) -> float:
        """How full the belt is, 0 to 1."""
        return len(self._parts) / self.capacity

    def ready(self) -> bool:
        """Whether a part has arrived at the end."""
        return bool(self._parts) and self._parts[0][0] <= self._env.now

    def wait_ready(self) -> simpy.Event:
        """An event after which it is worth asking `ready` again."""
        if self._parts:
            return self._env.timeout(self._parts[0][0] - self._env.now)
        self._taker = self._env.event()
        return self._taker

    def take(self) -> Part:
        """Remove the part at the end; only when `ready`."""
        part = self._parts.popleft()[1]
        if self._putter is not None:
            self._putter.succeed()
            self._putter = None
        return part

    def has_room(self) -> bool:
        """Whether a part can be put on the belt."""
        return len(self._parts) < self.capacity

    def wait_room(self) -> simpy.Event:
        """The event of the next part being taken from the full belt."""
        self._putter = self._env.event()
        return self._putter

    def put(self, part: Part) -> None:
        """Put a part on the belt; only when it `has_room`."""
        self._parts.append((self._env.now + self._transit_ms, part))
        if self._taker is not None:
            self._taker.succeed()
            self._taker = None

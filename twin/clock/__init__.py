"""One stack, three clocks: virtual (jumps to the next event), paced (K times wall time) and wall."""

from shakedown.twin.clock.deadlock import Deadlock
from shakedown.twin.clock.loop import VirtualLoop
from shakedown.twin.clock.runner import START, now_ns, run
from shakedown.twin.clock.simpy_drive import drive

__all__ = ["START", "Deadlock", "VirtualLoop", "drive", "now_ns", "run"]

"""A production line in SimPy: machines, conveyors, reservoirs, and the signals that show what they do."""

from shakedown.twin.line.line import Line
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signals import Signal

__all__ = ["Line", "Plant", "Signal"]

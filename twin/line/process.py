"""What every process of a line is made of, and the way to write down what happens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

Record = Callable[[str, str, dict[str, Any]], None]
"""Takes kind, machine and data of a physical event that happens now."""
Process = Generator[simpy.Event, Any, None]
LINE = ""
"""The machine of an event that concerns the line as a whole."""

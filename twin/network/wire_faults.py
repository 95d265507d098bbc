"""What a conduit on the wire does to its routes, as Toxiproxy's toxics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shakedown.twin.network.wire_toxiproxy import ToxicSpec

STREAM_OF = {"up": "upstream", "down": "downstream"}
UNITS = {"latency": "latency_ms", "jitter": "jitter_ms", "rate": "kB_s"}
"""What Toxiproxy's attributes are called here."""


@dataclass(frozen=True)
class WireFault:
    """What a conduit does in one direction: `kind` as its verb, and the toxic that does it."""

    kind: str
    direction: str
    type: str
    attributes: tuple[tuple[str, int], ...]

    def toxic(self, conduit: str) -> ToxicSpec:
        stream = STREAM_OF[self.direction]
        return ToxicSpec(f"{slug(conduit)}-{self.kind}-{stream}", self.type, stream, dict(self.attributes))


def both(kind: str, toxic: str, **attributes: int) -> list[WireFault]:
    return [WireFault(kind, direction, toxic, tuple(attributes.items())) for direction in STREAM_OF]


def whole(number: float) -> int:
    """The nearest whole number; Toxiproxy has no fractions."""
    if not 0 <= number < 1e9:
        raise ValueError(f"{number} ms or kB/s; remedy: a number not below 0")
    return int(number + 0.5)


def slug(name: str) -> str:
    """A name that needs no quoting in a URL."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)

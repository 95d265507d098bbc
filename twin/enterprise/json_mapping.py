"""Plain JSON over MQTT, as its bridge declares it: which topic and which place in the payload hold what.

A path is keys with dots between them. `[]` steps through a list, and `{device}`, `{metric}` or `{node}` takes any key
for that name: `{device}[].values.{metric}`. A topic takes the same names, each for one level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shakedown.twin.enterprise.edge_view import Row

GOOD, BAD = 192, 0  # Sparkplug 3.0, 6.4.16 (quality)
ITEMS_MAX = 100_000  # of one message
NAMES = ("device", "metric", "node")
_STEP = re.compile(r"(?P<list>\[\])|\{(?P<name>[a-z]+)\}|(?P<key>[^.\[\]{}]+)")
_TICKS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

Step = tuple[str, str]
"""("key" | "name" | "list", text)."""


def _steps(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    while at < len(path):
        at += path[at] == "." and at > 0
        match = _STEP.match(path, at)
        if match is None or match["name"] not in (None, *NAMES):
            raise ValueError("is not a path - write keys with dots between them, [] for the items of a list, and "
                             "{device}, {metric} or {node} for any key")  # fmt: skip
        kind = str(match.lastgroup)
        steps.append((kind, match[kind]))
        at = match.end()
    return tuple(steps)


def _path(path: str) -> str:
    _steps(path)
    return path


def _topic(topic: str) -> str:
    for level in topic.split("/"):
        if re.search(r"[{}+#]", level) and level not in {f"{{{name}}}" for name in NAMES}:
            raise ValueError(
                f"has a level {level!r} - a level is a word, or one of {{device}}, {{metric}}, {{node}}"
            )
    return topic


Path = Annotated[str, AfterValidator(_path)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimestampPlace(_Strict):
    """Where the source's time stands, and what it counts in since 1970 (UTC)."""

    path: Path
    unit: Literal["s", "ms", "us", "ns", "iso8601"] = "ms"


class QualityPlace(_Strict):
    """Where the quality stands, and which of its values mean Good; every other is Bad."""

    path: Path
    good: tuple[str | int, ...] = Field(default=(192, 0, "Good", "GOOD"), min_length=1)


class JsonMapping(_Strict):
    """Topic and payload of a bridge that speaks plain JSON."""

    topic: Annotated[str, AfterValidator(_topic)] = Field(min_length=1, max_length=1000)
    value: Path
    device: Path | None = Field(default=None, description="Where the payload names the device")
    metric: Path | None = Field(default=None, description="Where the payload names the metric")
    node: Path | None = Field(default=None, description="Where the payload names the OPC UA node")
    timestamp: TimestampPlace | None = None
    quality: QualityPlace | None = None

    @model_validator(mode="after")
    def _identified(self) -> JsonMapping:
        known = {name for name in NAMES if getattr(self, name) or f"{{{name}}}" in self.topic + self.value}
        if "node" not in known and not {"device", "metric"} <= known:
            raise ValueError("names neither {node} nor {device} and {metric} - put them into topic or value, or give "
                             "their paths")  # fmt: skip
        return self


@dataclass(frozen=True)
class KnownMetric:
    """A metric that the enterprise expects."""

    device: str
    metric: str
    node: str
    datatype: str


class JsonReader:
    """Reads the messages of one bridge into rows as the primary host keeps them. No I/O."""

    def __init__(self, mapping: JsonMapping, metrics: list[KnownMetric]) -> None:
        self._mapping = mapping
        levels = [re.escape(level) for level in mapping.topic.split("/")]
        pattern = "/".join(re.sub(r"^\\\{([a-z]+)\\\}$", r"(?P<\1>[^/]+)", level) for level in levels)
        self._topic = re.compile(pattern + r"\Z")
        self._value = _steps(mapping.value)
        self._places = {name: _steps(place) for name in NAMES if (place := getattr(mapping, name))}
        self._timestamp = _steps(mapping.timestamp.path) if mapping.timestamp else None
        self._quality = _steps(mapping.quality.path) if mapping.quality else None
        self._by_node = {metric.node: metric for metric in metrics}
        self._by_name = {(metric.device, metric.metric): metric for metric in metrics}

    def is_mapped(self, topic: str) -> bool:
        """Whether the mapping speaks of this topic."""
        return self._topic.match(topic) is not None

    def rows(self, topic: str, payload: bytes, now_ns: int) -> list[Row]:
        """The values of one message; without a declared timestamp each has the time of its arrival.

        Raises ValueError when the payload is not what the mapping says, or names a metric that nobody expects.
        """
        match = self._topic.match(topic)
        assert match is not None, "is_mapped was asked"
        document = msgspec.json.decode(payload)  # msgspec.DecodeError is a ValueError
        rows: list[Row] = []
        for names, way, value in _walk(document, self._value, 0, match.groupdict(), (document,)):
            if len(rows) == ITEMS_MAX:
                raise ValueError(f"more than {ITEMS_MAX} values in one message")
            rows.append(self._row(names, way, value, now_ns))
        if not rows:
            raise ValueError(f"the payload has nothing at {self._mapping.value}")
        return rows

    def _row(self, names: Mapping[str, str], way: tuple[Any, ...], value: Any, now_ns: int) -> Row:
        found = dict(names) | {name: str(self._at(steps, way)) for name, steps in self._places.items()}
        metric = self._by_node.get(found.get("node", "")) or self._by_name.get(
            (found.get("device", ""), found.get("metric", ""))
        )
        if metric is None:
            raise ValueError(f"nobody expects {found}"[:200])
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise ValueError(
                f"the value of {metric.device}/{metric.metric} is neither number, text, boolean nor null"
            )
        quality = GOOD
        if self._quality is not None:
            assert self._mapping.quality is not None
            seen = self._at(self._quality, way)
            quality = GOOD if seen in self._mapping.quality.good and not isinstance(seen, bool) else BAD
        ts_ms = now_ns // 1_000_000
        if self._timestamp is not None:
            ts_ms = self._milliseconds(self._at(self._timestamp, way))
        return metric.device, metric.metric, ts_ms, _typed(value, metric.datatype), quality, False, "data"

    def _at(self, steps: tuple[Step, ...], way: tuple[Any, ...]) -> Any:
        """What stands at `steps`, going the way of the value as far as both are the same."""
        here, same = way[0], True
        for number, step in enumerate(steps):
            same = same and number < len(self._value) - 1 and step == self._value[number]
            if same:
                here = way[number + 1]
            elif step[0] == "key" and isinstance(here, dict) and step[1] in here:
                here = here[step[1]]
            else:
                raise ValueError(f"the payload has no {'.'.join(text for _, text in steps)}")
        return here

    def _milliseconds(self, stamp: Any) -> int:
        assert self._mapping.timestamp is not None
        unit = self._mapping.timestamp.unit
        if unit == "iso8601":
            moment = datetime.fromisoformat(str(stamp))
            if moment.tzinfo is None:
                raise ValueError(f"timestamp {stamp!r} has no time zone"[:200])
            return round(moment.timestamp() * 1000)
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            raise ValueError(f"timestamp {stamp!r} is not a number"[:200])
        ticks = _TICKS_PER_S[unit]
        return stamp * 1000 // ticks if isinstance(stamp, int) else round(stamp * 1000 / ticks)


def _walk(
    here: Any, steps: tuple[Step, ...], number: int, names: Mapping[str, str], way: tuple[Any, ...]
) -> Iterator[tuple[Mapping[str, str], tuple[Any, ...], Any]]:
    """Every place that a path leads to: the names taken on the way, what was passed, and what stands there."""
    if number == len(steps):
        yield names, way, here
        return
    kind, text = steps[number]
    inner: list[tuple[Mapping[str, str], Any]] = []
    if kind == "list" and isinstance(here, list):
        inner = [(names, item) for item in here]
    elif kind == "name" and isinstance(here, dict):
        inner = [({**names, text: str(key)}, item) for key, item in here.items()]
    elif kind == "key" and isinstance(here, dict) and text in here:
        inner = [(names, here[text])]
    for known, item in inner:
        yield from _walk(item, steps, number + 1, known, (*way, item))


def _typed(value: Any, datatype: str) -> Any:
    """JSON has one kind of number: a whole one may stand for a Double, and 3.0 for an integer."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if datatype in ("Float", "Double"):
        return float(value)
    return int(value) if isinstance(value, float) and value.is_integer() and "Int" in datatype else value

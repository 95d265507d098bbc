"""The configuration `site.yaml`: its models, and how it compiles into the nouns that the bridge runs on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from shakedown.bridge.config_base import Name, TlsConfig, UserConfig
from shakedown.bridge.config_base import Strict as _Strict
from shakedown.bridge.core import datatypes, naming
from shakedown.bridge.core.model import Metric, Model, Value
from shakedown.bridge.core.units import UCUM, UnitError, conversion
from shakedown.bridge.operations_config import OperationsConfig
from shakedown.bridge.operations_model import OperationsModel, compile_operations
from shakedown.bridge.south.kinds import AnySouthConfig
from shakedown.bridge.yamlfile import ConfigError, Marks, Path_, Reading, did_you_mean, read_on

TypeName = Literal[
    "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64",
    "Float", "Double", "Boolean", "String", "DateTime", "Text",
]  # fmt: skip

NODE_METRICS: tuple[tuple[str, int], ...] = (
    ("bridge/backlog", datatypes.UINT64),
    ("bridge/declared_lost", datatypes.UINT64),
    ("bridge/declared_gaps", datatypes.UINT64),
    ("bridge/journal_rows", datatypes.UINT64),
    ("bridge/refused_values", datatypes.UINT64),
    ("bridge/journal_failing", datatypes.BOOLEAN),
    ("bridge/lag_ms", datatypes.UINT64),
)
"""What the edge node says of itself (device ""); their aliases follow those of the configured metrics."""


class ReconnectConfig(_Strict):
    """Bounds of the delay between connection attempts; it doubles from `min` to `max`."""

    min: float = Field(1.0, gt=0, le=60)
    max: float = Field(15.0, gt=0, le=600)


class NorthConfig(UserConfig):
    """One Sparkplug target above the bridge."""

    broker: str
    tls: TlsConfig | None = None
    keep_alive_s: int = Field(30, ge=1, le=3600)
    primary_host: str = ""
    host_keep_alive_s: float = Field(30.0, ge=1, le=3600)
    reconnect_s: ReconnectConfig = ReconnectConfig()
    barrier_s: float = Field(1.0, gt=0, le=60)
    retention_margin_s: float = Field(10.0, ge=0, le=3600)
    replay_per_s: int | None = Field(None, ge=1, le=1_000_000)

    @field_validator("broker")
    @classmethod
    def _broker(cls, text: str) -> str:
        if not re.fullmatch(r"mqtts?://[^/:@\s]+(:\d{1,5})?", text):
            raise ValueError("is not an MQTT broker - write it as mqtt://host:1883 or mqtts://host:8883")
        return text

    @field_validator("primary_host")
    @classmethod
    def _primary_host(cls, text: str) -> str:
        if re.search(r"[+#/\x00]", text):
            raise ValueError("must not contain + # / - it is one level of the STATE topic")
        return text

    @property
    def secure(self) -> bool:
        return self.broker.startswith("mqtts://")

    @property
    def in_clear(self) -> str:
        return "" if self.secure else "write mqtts:// and tls: {ca: FILE}"

    @property
    def host_port(self) -> tuple[str, int]:
        """Name and port of the broker, the standard port if none is given."""
        host, _, port = self.broker.partition("://")[2].partition(":")
        return host, int(port) if port else (8883 if self.secure else 1883)


class JournalConfig(_Strict):
    rows_max: int = Field(5_000_000, ge=1000)


class MetricConfig(_Strict):
    """One metric: where it comes from, what it is, and which freshness class it belongs to."""

    south: str
    node: str = Field(min_length=3, max_length=4096)
    type: TypeName
    from_unit: str = Field("", alias="from", description="UNECE code of the vendor unit")
    unit: str = Field("", description="UNECE code of the canonical unit")
    low: float | None = Field(None, description="engineering range in the canonical unit")
    high: float | None = None
    class_: str = Field("process", alias="class")
    states: dict[int, Name] | None = None
    critical: bool = True


class AssetConfig(_Strict):
    metrics: dict[Name, MetricConfig] = Field(min_length=1)


class Site(OperationsConfig):
    """The whole of `site.yaml`: one edge node."""

    format: Literal[1]
    enterprise: Name
    site: Name
    area: Name
    line: Name
    south: dict[Name, AnySouthConfig] = Field(min_length=1)
    north: dict[Name, NorthConfig] = Field(min_length=1, max_length=1)
    journal: JournalConfig = JournalConfig()
    cells: dict[Name, dict[Name, AssetConfig]] = Field(min_length=1)
    classes: dict[Name, float] = Field(
        {"alarm": 2.0, "state": 2.0, "heartbeat": 1.0, "process": 5.0, "count": 5.0, "slow": 30.0}
    )

    _marks: Marks = PrivateAttr(default_factory=lambda: Marks("site.yaml"))

    @property
    def group_id(self) -> str:
        return naming.group_id(self.site, self.area)


def load_site(path: str | Path) -> Site:
    """Read and check `site.yaml`; raises ConfigError with every problem of the file."""
    document, marks, problems = read_on(path)
    if isinstance(document, dict) and document.keys().isdisjoint(("enterprise", "south", "north", "cells")):
        what = "is not a site file, it has neither enterprise nor south, north or cells"
        raise ConfigError([f"{path}: {what} - give the site.yaml of a plant"])
    reading = Reading(document, marks, Site, problems)
    reading.check(lambda site: check_site(site, reading.marks))
    return reading.settled()


def check_site(site: Site, marks: Marks) -> None:
    """Check what no field shows by itself: units, classes, sources; raises ConfigError with every problem's place."""
    site._marks = marks
    compile_site(site)


def compile_site(site: Site) -> Model:
    """Compile names, aliases, factors and offsets; raises ConfigError with every problem."""
    return compile_all(site)[0]


def compile_all(site: Site) -> tuple[Model, OperationsModel]:
    """Like `compile_site`, and what is derived from the metrics: alarms, OEE, work orders."""
    compiler = _Compiler(site)
    devices: list[str] = []
    metrics: list[Metric] = []
    for cell, assets in site.cells.items():
        for asset, config in assets.items():
            device = naming.device_id(cell, asset)
            devices.append(device)
            for name, entry in config.metrics.items():
                path = ("cells", cell, asset, "metrics", name)
                metrics.append(compiler.metric(len(metrics), device, name, entry, path))
    compiler.check_connections()
    derived, operations = compile_operations(site, metrics, compiler.report)
    if compiler.problems:
        raise ConfigError(compiler.problems)
    metrics += derived
    metrics += [Metric(len(metrics) + i, "", name, kind) for i, (name, kind) in enumerate(NODE_METRICS)]
    return Model(site.group_id, site.line, tuple(metrics), tuple(devices)), operations


class _Compiler:
    """Turns entries into metrics and collects what is wrong with them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.problems: list[str] = []
        self._nodes: dict[tuple[str, str], Path_] = {}

    def metric(self, metric_id: int, device: str, name: str, entry: MetricConfig, path: Path_) -> Metric:
        datatype = datatypes.NUMBER[entry.type]
        self._check_source(entry, path)
        if entry.class_ not in self.site.classes:
            self.report((*path, "class"), entry.class_, did_you_mean(entry.class_, list(self.site.classes)))
        if entry.states is not None and entry.type not in ("String", "Text"):
            self.report((*path, "type"), entry.type, "states are texts: write type: String", "has states")
        factor, offset = self._conversion(entry, path)
        if (factor, offset) != (1.0, 0.0) and entry.type not in ("Float", "Double"):
            text = "a converted value is not a whole number: write type: Double"
            self.report((*path, "type"), entry.type, text, "is converted")
        properties: dict[str, Value] = {}
        if entry.unit:
            properties["engUnit"] = entry.unit
        if entry.low is not None:
            properties["engLow"] = entry.low
        if entry.high is not None:
            properties["engHigh"] = entry.high
        source = (entry.south, entry.node)
        return Metric(metric_id, device, name, datatype, *source, factor, offset, entry.states, properties)

    def check_connections(self) -> None:
        site = self.site
        for name, south in site.south.items():
            if isinstance(south, UserConfig):
                self._check_user(("south", name), south)
        for name, north in site.north.items():
            if north.secure and north.tls is None:
                self.report(("north", name, "broker"), north.broker, "add tls: {ca: FILE}", "has no tls")
            self._check_user(("north", name), north)
            if north.reconnect_s.max < north.reconnect_s.min:
                path = ("north", name, "reconnect_s", "max")
                self.report(path, north.reconnect_s.max, "raise it", "is less than min")

    def _check_user(self, path: Path_, config: UserConfig) -> None:
        """A user name and a password go together, and only where nobody can listen."""
        username = config.username
        if bool(username) != (config.password is not None):
            missing, there = ("password", "username") if username else ("username", "password")
            self.report(
                (*path, there), username, f"add {missing}:, or remove this", f"has no {missing} beside it"
            )
        elif username and config.in_clear:
            what = "would have its password sent in the clear"
            self.report((*path, "username"), username, config.in_clear, what)

    def _check_source(self, entry: MetricConfig, path: Path_) -> None:
        if entry.south not in self.site.south:
            remedy = did_you_mean(entry.south, list(self.site.south))
            self.report((*path, "south"), entry.south, remedy, "is not a server under south:")
        elif remedy := self.site.south[entry.south].node_problem(entry.node):
            self.report((*path, "node"), entry.node, remedy, "is not a node id")
        first = self._nodes.setdefault((entry.south, entry.node), path)
        if first is not path:
            what = f"is mapped to {'.'.join(map(str, first[1:]))} already"
            self.report((*path, "node"), entry.node, "a node feeds one metric: remove one of them", what)

    def _conversion(self, entry: MetricConfig, path: Path_) -> tuple[float, float]:
        for key, code in (("from", entry.from_unit), ("unit", entry.unit)):
            if code and code not in UCUM:
                self.report(
                    (*path, key), code, did_you_mean(code, sorted(UCUM)), "is not a UNECE unit known here"
                )
                return 1.0, 0.0
        if not entry.from_unit:
            return 1.0, 0.0
        if not entry.unit:
            self.report(
                (*path, "from"), entry.from_unit, "add unit:, the canonical one", "has no unit beside it"
            )
            return 1.0, 0.0
        try:
            return conversion(entry.from_unit, entry.unit)
        except UnitError as error:
            self.report((*path, "unit"), entry.unit, "choose a unit of the same dimension", str(error))
            return 1.0, 0.0

    def report(self, path: Path_, value: Any, remedy: str, what: str = "is unknown") -> None:
        self.problems.append(self.site._marks.problem(path, f"{what} ({value!r}) - {remedy}"))

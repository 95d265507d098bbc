"""What a bridge is given to configure itself with: endpoints, names, credentials and the metrics of its line.

These are the fields of the templates of a bridge file, and the argument of a factory in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shakedown.bridge.config import NorthConfig, Site, compile_site
from shakedown.bridge.core import datatypes
from shakedown.bridge.secret import read_secret
from shakedown.bridge.south.config import OpcUaConfig


class Secret(str):
    """A text that is left out of what the run folder keeps."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


NO_SECRET = Secret()


@dataclass(frozen=True)
class OpcUa:
    """An OPC UA server to read from; without `policy` it has no security, and everybody is anonymous."""

    name: str  # as in site.yaml, `south`
    endpoint: str
    host: str
    port: int
    publishing_interval_ms: int
    sampling_interval_ms: int
    queue_size: int
    username: str = ""
    password: Secret = NO_SECRET
    password_file: str = ""
    policy: str = ""  # Basic256Sha256, and the mode is then SignAndEncrypt
    certificate: str = ""  # of the client, with its key; what trusts it is the server's list
    key: str = ""
    server_certificate: str = ""
    ca: str = ""  # who issued it, for a client that asks for the chain, with whom it has withdrawn
    revocation_list: str = ""
    application_uri: str = ""  # as in the client's certificate


@dataclass(frozen=True)
class Mqtt:
    """The enterprise broker to publish to; certificate paths are empty in clear text."""

    host: str
    port: int
    keep_alive_s: int
    username: str = ""
    password: Secret = NO_SECRET
    password_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.ca else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class FieldMetric:
    """One metric: where it is read, what it is called, and how the vendor's value becomes the canonical one."""

    device: str
    name: str
    node: str  # NodeId, as "ns=2;s=FILLER.STATE"
    opcua: str  # name of its server
    type: str  # Sparkplug's name of the data type
    unit: str
    from_unit: str
    factor: float
    offset: float
    states: Mapping[int, str]

    @property
    def namespace(self) -> int:
        """Namespace index of the NodeId."""
        head, _, _ = self.node.partition(";")
        return int(head.removeprefix("ns=")) if head.startswith("ns=") else 0

    @property
    def identifier_type(self) -> str:
        """`s`, `i`, `g` or `b`."""
        return self.node.split(";")[-1][:1]

    @property
    def identifier(self) -> str:
        return self.node.split(";", 1)[-1][2:]


@dataclass(frozen=True)
class Fields:
    """Everything that a bridge is given."""

    opcua: OpcUa  # the first server
    servers: tuple[OpcUa, ...]
    mqtt: Mqtt
    enterprise: str
    site: str
    area: str
    line: str
    group: str  # Sparkplug group id
    edge: str  # Sparkplug edge node id
    primary_host: str
    metrics: tuple[FieldMetric, ...]
    folder: str = ""  # where its configuration files lie, and where it may keep what has to survive it
    install: str = ""  # where `shakedown bridges install` put it
    python: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def devices(self) -> dict[str, list[FieldMetric]]:
        """The metrics by device."""
        found: dict[str, list[FieldMetric]] = {}
        for metric in self.metrics:
            found.setdefault(metric.device, []).append(metric)
        return found


def fields_of(site: Site, connect_to: Mapping[str, tuple[str, int]], **more: Any) -> Fields:
    """What a bridge for `site` is given, where `connect_to` says what to dial for each `host:port` of site.yaml."""
    servers = []
    for name, south in site.south.items():
        if not isinstance(south, OpcUaConfig):
            continue
        url = urlsplit(south.endpoint)
        host, port = connect_to[f"{url.hostname}:{url.port or 4840}"]
        endpoint = f"opc.tcp://{host}:{port}{url.path}"
        timing = (south.publishing_interval_ms, south.sampling_interval_ms, south.queue_size)
        server = OpcUa(name, endpoint, host, port, *timing)
        servers.append(replace(server, **_user(south), **_certificates(south)))
    north = next(iter(site.north.values()))
    mqtt_host, mqtt_port = connect_to["{}:{}".format(*north.host_port)]
    return Fields(
        opcua=servers[0],
        servers=tuple(servers),
        mqtt=Mqtt(
            mqtt_host,
            mqtt_port,
            north.keep_alive_s,
            **_user(north),
            **(north.tls.model_dump() if north.tls else {}),
        ),
        enterprise=site.enterprise,
        site=site.site,
        area=site.area,
        line=site.line,
        group=site.group_id,
        edge=site.line,
        primary_host=north.primary_host,
        metrics=metrics_of(site),
        **more,
    )


def _user(connection: OpcUaConfig | NorthConfig) -> dict[str, Any]:
    """Name, password and where that is, of a connection that asks for them."""
    if connection.password is None:
        return {}
    password = Secret(read_secret(connection.password, "password"))
    return {"username": connection.username, "password": password, "password_file": connection.password.file}


def _certificates(south: OpcUaConfig) -> dict[str, Any]:
    """What an OPC UA connection is secured with."""
    security = south.security
    if security == "none":
        return {}
    authority = Path(security.server_certificate)  # lies beside what it issued
    return {
        **security.model_dump(),
        "ca": str(authority.with_name("ca.pem")),
        "revocation_list": str(authority.with_name("ca.crl")),
        "application_uri": f"urn:shakedown:{south.username}",
    }


def metrics_of(site: Site) -> tuple[FieldMetric, ...]:
    """The metrics of site.yaml that come from a PLC, in its order."""
    configured = [
        entry
        for assets in site.cells.values()
        for asset in assets.values()
        for entry in asset.metrics.values()
    ]
    # compile_site keeps their order, and puts what it derives behind them
    return tuple(
        FieldMetric(
            metric.device, metric.name, entry.node, entry.south, datatypes.NAME[metric.datatype],
            entry.unit, entry.from_unit, metric.factor, metric.offset, entry.states or {},
        )
        for metric, entry in zip(compile_site(site).metrics, configured, strict=False)
    )  # fmt: skip

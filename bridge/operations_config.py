"""The models of `site.yaml` for alarms, OEE and work orders; `bridge/operations_model.py` finds what contradicts."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from shakedown.bridge.config_base import Name, Strict, TlsConfig

Priority = Literal["critical", "high", "medium", "low"]


class AlarmConfig(Strict):
    """One alarm: a limit on one metric, and how patient it is. Exactly one of `high`, `low` and `state`."""

    metric: str
    high: float | None = None
    low: float | None = None
    state: str | bool | None = None
    priority: Priority = "medium"
    deadband: float = Field(0.0, description="the way back behind the limit, in the metric's unit")
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    latching: bool = False
    confirm: bool = Field(False, description="the response must be confirmed (OPC UA Part 9)")
    suppress_in: list[str] = Field([])
    re_alarm_s: float = Field(
        0.0, description="an acknowledged alarm that still stands is announced again; 0: never"
    )
    work_order: bool = False
    bad_after_s: float = Field(
        60.0, description="a metric without a usable value for so long has an alarm of its own, <alarm>_bad"
    )
    context: list[str] = Field([], description="further metrics whose last minutes explain the alarm")
    text: str = Field("", max_length=500)
    cause: str = Field("", max_length=500, description="what makes it speak")
    consequence: str = Field("", max_length=500, description="what happens if nobody answers")
    response: str = Field("", max_length=500, description="what the operator does")
    respond_s: float = Field(0.0, ge=0, le=86_400, description="how much time there is for it; 0: not given")


class BreakConfig(Strict):
    begins_s: float
    lasts_s: float


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ShiftConfig(Strict):
    """One shift; times are seconds on the wall clock since midnight plus `offset_s`, of breaks since its beginning."""

    name: Name
    begins_s: float
    lasts_s: float
    days: list[Day] = Field(list(DAYS), description="of the week, on which it begins")
    breaks: list[BreakConfig] = Field([])


class ReasonsConfig(Strict):
    """Which values of `reason` mean what, on each work unit of the line."""

    starved: list[int | str] = Field([])
    blocked: list[int | str] = Field([])
    minor_stop: list[int | str] = Field([], description="every other time in fault is a failure")


def _date(text: Any) -> Any:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError("is not a date - write it as 2026-12-25") from None


class OeeConfig(Strict):
    """OEE of one line: work units, the metrics of the one that counts for it, planned times, calendar (docs/oee.md)."""

    state: str
    produced: str
    good: str
    reject: str
    product: str | None = None
    order: str | None = Field(None, description="the production order that runs")
    order_quantity: str | None = Field(None, description="its planned quantity in good pieces")
    rework: str | None = Field(None, description="counts good parts that needed rework")
    reason: str | None = Field(None, description="why it does not produce")
    reasons: ReasonsConfig = ReasonsConfig()
    work_units: list[str] = Field([], description="the line's devices in the order of flow")
    ideal_s: dict[str, float] = Field({})
    rolls_over_at: int | None = None
    offset_s: float = 0.0
    time_zone: str = Field("UTC", description="IANA name")
    holidays: list[Annotated[date, BeforeValidator(_date)]] = Field(
        [], description="on which no shift begins"
    )
    planned: list[ShiftConfig]


class CallConfig(Strict):
    """One HTTP request as a template: `{name}` stands for a field of the order; and where the answer has what."""

    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    path: str
    body: dict[str, Any] | list[Any] | None = None
    id: str = Field("", description="dotted path to the order's id in the answer, for instance items.0.id")
    state: str = ""
    asset: str = ""
    ended_ms: str = ""


FIELD = re.compile(r"\{(\w+)\}")
FIELDS = frozenset(
    {
        "equipment", "physical_asset", "alarm", "device", "occurrence", "priority", "raised_ms", "reason", "context",
        "owner", "id", "key", "reason_metric", "reason_limit", "reason_value", "reason_unit", "reason_text",
    }
)  # fmt: skip
"""What a template may name in braces."""


def unknown_fields(call: CallConfig) -> list[str]:
    """Names in a template that no order has."""
    return sorted(set(FIELD.findall(f"{call.path} {call.body}")) - FIELDS)


class GenericConfig(Strict):
    """A CMMS that is nothing but configuration."""

    create: CallConfig
    follow: CallConfig
    asset: CallConfig | None = None
    find: CallConfig | None = Field(
        None, description="asked before another attempt, if the CMMS knows no idempotency"
    )
    headers: dict[str, str] = Field({})
    states: dict[str, Literal["open", "assigned", "in_progress", "completed", "closed", "cancelled"]] = Field(
        {}
    )


class WebhookConfig(Strict):
    """Where the CMMS calls when an order has changed; without it the bridge asks every 10 s."""

    host: str = Field("127.0.0.1", min_length=1, max_length=253, description="address to listen on")
    port: int = Field(0, ge=0, le=65535, description="0: a free one")
    url: str = Field("", description="the listener as the CMMS dials it; http://host:port if not given")
    token_file: str = Field(
        "", description="file with the secret in the path; made by the bridge if not given"
    )

    @field_validator("url")
    @classmethod
    def _url(cls, text: str) -> str:
        return _http_url(text, "http://bridge:8091") if text else ""


def _http_url(text: str, example: str) -> str:
    if not re.fullmatch(r"https?://[^/:@\s?#]+(:\d{1,5})?(/[^\s?#]*)?", text):
        raise ValueError(f"is not an HTTP address - write it as {example}")
    return text.rstrip("/")


class CmmsConfig(Strict):
    """Where work orders go."""

    url: str
    adapter: Literal["embedded", "generic"] = "embedded"
    generic: GenericConfig | None = None
    tls: TlsConfig | None = Field(
        None, description="of an https:// URL; without it the public CAs are trusted"
    )
    token_file: str = Field("", description="file with the bearer token")
    webhook: WebhookConfig | None = None
    context_s: float = 300.0
    timeout_s: float = 10.0

    @field_validator("url")
    @classmethod
    def _url(cls, text: str) -> str:
        return _http_url(text, "http://host:8080")

    @property
    def host_port(self) -> tuple[str, int]:
        """Name and port of the CMMS."""
        scheme, _, rest = self.url.partition("://")
        host, _, port = rest.partition("/")[0].partition(":")
        return host, int(port) if port else (443 if scheme == "https" else 80)


class EquipmentConfig(Strict):
    """What a device is called in the CMMS, and who looks after it."""

    equipment: str = Field(min_length=1, max_length=200)
    owner: str = Field("", max_length=200)


class AdminConfig(Strict):
    """The bridge's own HTTP, for people at the line."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: int = Field(8090, ge=1, le=65535)


class OperationsConfig(Strict):
    """What `site.yaml` says of operations."""

    alarms: dict[Name, AlarmConfig] = Field({})
    oee: dict[Name, OeeConfig] = Field({})
    cmms: CmmsConfig | None = None
    equipment: dict[str, EquipmentConfig] = Field({})
    admin: AdminConfig | None = None

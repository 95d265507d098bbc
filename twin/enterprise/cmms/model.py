"""What a client may send to the CMMS, and what it gets back: every text, list and number has a bound."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    UrlConstraints,
    model_validator,
)

WorkOrderState = Literal["open", "assigned", "in_progress", "completed", "closed", "cancelled"]
STATES: tuple[str, ...] = get_args(WorkOrderState)

TRANSITIONS: dict[str, tuple[str, ...]] = {
    "open": ("assigned", "in_progress", "cancelled"),
    "assigned": ("open", "in_progress", "cancelled"),
    "in_progress": ("assigned", "completed", "cancelled"),
    "completed": ("in_progress", "closed"),
    "closed": (),
    "cancelled": (),
}
"""Which state may follow which. To name the present state again is no change and no error: a client that repeats a
request after a time-out gets the same answer."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Milliseconds = Annotated[int, Field(ge=0, le=2**53)]
Value = StrictBool | StrictInt | float | Annotated[str, Field(max_length=1_000)] | None
"""A value of a signal, kept as it was sent: 3 stays an integer, 3.0 a float."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Asset(_Part):
    """A physical thing with a number plate: it may be mounted here today and there tomorrow."""

    id: Name
    description: Text = ""


class NewAssignment(_Part):
    """From `from_ms` on (until before `to_ms`, null for open) the physical asset does the work of the equipment."""

    equipment: Name
    physical_asset: Name
    from_ms: Milliseconds
    to_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> NewAssignment:
        if self.to_ms is not None and self.to_ms <= self.from_ms:
            raise ValueError(
                f"to_ms {self.to_ms} is not after from_ms {self.from_ms}; leave it out if it lasts"
            )
        return self


class Assignment(NewAssignment):
    id: int


class Reason(_Part):
    """Why the alarm was raised: what was measured, against which limit."""

    metric: Name
    limit: Value = None
    value: Value = None
    unit: Annotated[str, Field(max_length=50)] = ""
    text: Text = ""


class ContextSignal(_Part):
    """The last minutes of one signal: `[ts_ms, value, quality]` each."""

    metric: Name
    unit: Annotated[str, Field(max_length=50)] = ""
    samples: Annotated[list[tuple[Milliseconds, Value, int]], Field(max_length=50_000)] = []


class NewWorkOrder(_Part):
    """Work to be done at `equipment` because of one occurrence of an alarm.

    Without `physical_asset` the CMMS enters what is assigned to the equipment at `raised_ms`.
    """

    equipment: Name
    physical_asset: Name | None = None
    alarm: Name
    device: Name
    occurrence: Annotated[int, Field(ge=0, le=2**32)]
    priority: Literal["critical", "high", "medium", "low"] = "medium"
    raised_ms: Milliseconds
    reason: Reason
    context: Annotated[list[ContextSignal], Field(max_length=100)] = []
    owner: Annotated[str, Field(max_length=200)] = ""
    by: Annotated[str, Field(max_length=200)] = ""


class Change(_Part):
    """What to change of a work order."""

    state: WorkOrderState
    by: Name
    assigned_to: Annotated[str, Field(max_length=200)] | None = None


class NewComment(_Part):
    by: Name
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


class Comment(NewComment):
    ms: Milliseconds


class Attachment(_Part):
    number: int
    name: Name
    media_type: Name
    size: int
    ms: Milliseconds


class WorkOrder(_Part):
    """A work order as it is now; `history` holds `[ms, state, by]` of every state it has had."""

    id: str
    state: WorkOrderState
    equipment: str
    physical_asset: str | None
    alarm: str
    device: str
    occurrence: int
    priority: str
    raised_ms: int
    created_ms: int
    owner: str
    assigned_to: str
    reason: Reason
    context: list[ContextSignal]
    history: list[tuple[int, WorkOrderState, str]]
    comments: list[Comment]
    attachments: list[Attachment]


class NewWebhook(_Part):
    """Every change of a work order is sent to `url` as `{"id", "event", "ms", "work_order"}`."""

    url: Annotated[AnyUrl, UrlConstraints(max_length=500, allowed_schemes=["http", "https"])]


class Webhook(_Part):
    """`waiting` deliveries are still to come, `dropped` ones were given up or found no room."""

    id: int
    url: str
    created_ms: int
    delivered: int
    waiting: int
    dropped: int


class Problem(_Part):
    """What went wrong, and the remedy (RFC 9457)."""

    title: str
    status: int
    detail: str
    errors: list[str] = []

"""What every fault is: data in a scenario file, two verbs, and the evidence that it took effect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from shakedown.scenarios.probe import Probe
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.network.model import Conduit

ConduitName = Literal["wan", "cell"]


class CmmsAtHand(Protocol):
    """The CMMS as a fault sees it; `answers` tells whether an ordinary request gets an ordinary answer."""

    @property
    def failures(self) -> FailureSwitch: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def answers(self) -> bool: ...


class Ground(Protocol):
    """What a fault may lay hands on."""

    def conduit(self, name: str) -> Conduit: ...
    def probe(self, conduit: str) -> Probe: ...
    def host_rows(self) -> int: ...
    def rebirth_requests(self) -> int: ...
    def ask_for_rebirth(self) -> None: ...
    async def crash_broker(self) -> None: ...
    async def start_broker(self) -> None: ...
    async def broker_answers(self) -> bool: ...
    async def unplug_host(self) -> None: ...
    async def replug_host(self) -> None: ...
    async def kill_bridge(self) -> None: ...
    async def start_bridge(self) -> None: ...
    def bridge_is_running(self) -> bool: ...
    def cmms(self) -> CmmsAtHand: ...


@dataclass(slots=True)
class Evidence:
    """What was seen while the fault was in force."""

    verified: bool
    seen: dict[str, Any] = field(default_factory=dict)


class Fault(BaseModel, ABC):
    """One fault of a scenario: it strikes at `at_s` after the start and is healed `for_s` later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cut: ClassVar[bool] = True  # whether freshness is judged without its duration
    affects: ClassVar[tuple[str, ...]] = ()

    kind: str
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of this fault in timeline and report")
    at_s: float = Field(ge=0, description="Seconds after the start of the run")
    for_s: float = Field(gt=0, le=86_400, description="Seconds until it is healed")

    @property
    @abstractmethod
    def what(self) -> str:
        """The thing that is struck: a conduit's or a component's name."""

    @property
    def asked(self) -> dict[str, Any]:
        """The parameters, for the timeline."""
        return self.model_dump(exclude={"id", "kind", "at_s", "for_s"})

    @abstractmethod
    async def strike(self, ground: Ground) -> dict[str, Any]:
        """Make it happen; returns what has to be remembered for `evidence`."""

    @abstractmethod
    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        """Say, just before it is healed, whether it was seen to take effect."""

    @abstractmethod
    async def heal(self, ground: Ground) -> None:
        """Undo it."""

"""What a scenario file says, as data: which plant, which network, which parts, what goes wrong and when."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from shakedown.scenarios.faults import AnyFault


def _takes_time(name: str) -> str:
    """The name of a criterion that a run can be too short for. Raises ValueError for any other."""
    from shakedown.acceptance.criteria import all_criteria  # what needs no judge is not kept waiting for it

    known = [criterion.name for criterion in all_criteria()[0] if criterion.takes_time]
    if name not in known:
        raise ValueError(f"is not a criterion that a run can be too short for; give {', '.join(known)}")
    return name


CriterionName = Annotated[str, AfterValidator(_takes_time)]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConduitModel(Strict):
    """A healthy conduit's own latency, jitter and bandwidth, and the two zones that it joins."""

    latency_ms: float = Field(default=0, ge=0, le=60_000)
    jitter_ms: float = Field(default=0, ge=0, le=10_000)
    bandwidth_kB_s: float | None = Field(default=None, gt=0)  # noqa: N815 (SI prefix)
    zones: tuple[str, str] | None = Field(
        default=None, description="Of a conduit of your own: who dials, and who is dialled"
    )


CONDUITS = {
    "cell": ConduitModel(latency_ms=0.5, zones=("site", "cell")),
    "wan": ConduitModel(latency_ms=20, jitter_ms=5, zones=("site", "enterprise")),
}
"""The two conduits of the plant as it is drawn on the wall."""


class CrewModel(Strict):
    """The maintenance crew: how many, how often they look, how far they walk."""

    people: int = Field(default=1, ge=1, le=100)
    poll_s: float = Field(default=30, gt=0, le=3600)
    travel_median_s: float = Field(default=120, gt=0, le=3600)
    travel_sigma: float = Field(default=0.5, ge=0, le=3, description="of the logarithm of the travel time")
    inspect_s: float = Field(default=60, gt=0, le=3600, description="To find that nothing is to be repaired")


class PeopleModel(Strict):
    """The people of a site with alarms or a CMMS."""

    crew: CrewModel = CrewModel()


class Override(Strict):
    """Keys of the plant's files that this scenario sets otherwise."""

    plant: dict[str, Any] = Field(default_factory=dict)
    site: dict[str, Any] = Field(default_factory=dict)


class PartModel(Strict):
    """A part that a scenario adds, or one that follows from a site.yaml and is placed elsewhere."""

    kind: str
    zone: str | None = Field(
        default=None, description="Where its host is; without it where such a part usually is"
    )
    dials: tuple[str, ...] = Field(
        default=(), description="Other parts that it needs: they are started before it"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="What a kind of your own wants to know")
    saves_retained_s: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Of a broker: how often it saves what is retained, old STATE too, for after a crash; 0: at once",
    )
    plant: str | None = Field(
        default=None, description="Of a bridge: the plant of its line, if not the scenario's"
    )
    overlays: tuple[str, ...] | None = Field(default=None, description="Of a bridge: if not the scenario's")
    override: Override = Field(
        default=Override(), description="Of a bridge: over what the scenario overrides"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> PartModel:
        named = self.model_fields_set & {"plant", "overlays", "override"}
        if self.kind != "bridge" and named:
            raise ValueError(f"{', '.join(sorted(named))} is for a part of kind bridge, and this is a {self.kind}"
                             " - remove it")  # fmt: skip
        if self.saves_retained_s is not None and self.kind != "broker":
            raise ValueError(
                f"saves_retained_s is for a part of kind broker, and this is a {self.kind} - remove it"
            )
        return self


class Scenario(Strict):
    """One scenario file (scenarios/library/*.yaml)."""

    format: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    description: str = ""
    plant: str = Field(
        default="bottling", description="A shipped plant's name, or a folder with plant.yaml and site.yaml"
    )
    warm_up_s: float = Field(default=60, gt=0, description="No fault strikes before")
    duration_s: float = Field(gt=0, le=30 * 86_400, description="How long the line offers samples")
    drain_s: float = Field(
        default=90, ge=0, le=86_400, description="How long the bridge then has to deliver the rest"
    )
    overlays: tuple[str, ...] = Field(
        default=(), description="Files of the plant's folder overlays/ that are laid over it, in this order"
    )
    rules_beside: tuple[str, ...] | dict[str, Any] = Field(
        default=(),
        description="Overlays whose alarm rules the judge replays beside those of this run, on the same process",
    )
    may_be_inconclusive: tuple[CriterionName, ...] = Field(
        default=(), description="Criteria that this scenario is too short to judge; they may still FAIL"
    )
    only_promised: bool = Field(
        default=False,
        description="Judge a bridge that does not promise freshness or no loss on the rest alone",
    )
    secure: bool = Field(
        default=False,
        description="Mutual TLS, users and least privilege on MQTT, SignAndEncrypt and users on OPC UA, HTTPS",
    )
    network: dict[Name, ConduitModel] = Field(
        default=CONDUITS,
        validate_default=True,
        description="Conduits, by name; `cell` and `wan` are always there",
    )
    parts: dict[Name, PartModel] = Field(
        default_factory=dict,
        description="Parts to add, and parts that follow from site.yaml to be placed elsewhere",
    )
    people: PeopleModel = PeopleModel()
    override: Override = Override()
    faults: tuple[AnyFault, ...] = ()

    @field_validator("network")
    @classmethod
    def _network(cls, given: dict[str, ConduitModel]) -> dict[str, ConduitModel]:
        for name, conduit in given.items():
            if conduit.zones is None and name not in CONDUITS:
                raise ValueError(f"conduit {name!r} joins nothing - add zones: [ONE, OTHER]")
        own = {name: conduit.zones or CONDUITS[name].zones for name, conduit in given.items()}
        joined = {name: conduit.model_copy(update={"zones": own[name]}) for name, conduit in given.items()}
        return CONDUITS | joined

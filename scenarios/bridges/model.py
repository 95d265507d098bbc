"""What a bridge file says (scenarios/bridges/*.yaml): how a bridge is run, how it is configured, what it promises."""

from __future__ import annotations

import re
from signal import Signals
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shakedown.twin.enterprise.json_mapping import JsonMapping


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(
            f"is not a regular expression: {error} - mend it, or quote its special characters"
        ) from None
    return text


def _file_name(text: str) -> str:
    if "/" in text or text in ("", ".", ".."):
        raise ValueError("is not a plain file name - configuration files lie in the working folder itself")
    return text


class Ready(_Strict):
    """How it is known that the bridge works, and how long it may take; without any, it works when it runs."""

    log: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None, description="Regular expression that a line of its output matches"
    )
    port: int | None = Field(default=None, ge=1, le=65_535, description="It listens there on 127.0.0.1")
    message: bool = Field(default=False, description="Its first message was seen at the enterprise broker")
    within_s: float = Field(default=60, gt=0, le=3600)

    @model_validator(mode="after")
    def _one(self) -> Ready:
        if sum((self.log is not None, self.port is not None, self.message)) > 1:
            raise ValueError("names several signs - give one of log, port and message")
        return self


class Stop(_Strict):
    """How the bridge is asked to end, and how long that may take before it is killed."""

    signal: Literal["TERM", "INT", "QUIT", "HUP"] = "TERM"
    within_s: float = Field(default=15, gt=0, le=600)

    @property
    def number(self) -> Signals:
        return Signals[f"SIG{self.signal}"]


class ConfigFile(_Strict):
    """A configuration file: its text, or the template beside the bridge file that holds it."""

    text: str | None = None
    template: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> ConfigFile:
        if (self.text is None) == (self.template is None):
            raise ValueError("needs a source - give either text or template")
        return self


class Install(_Strict):
    """What the bridge needs from package registries, with exact versions, in the folder `into`."""

    into: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Bridge files may share a folder")
    npm: dict[str, str] = Field(default_factory=dict, description="Package and version")
    pip: tuple[str, ...] = Field(default=(), description="Requirements as `name==version`")
    go: str | None = Field(default=None, description="Package as `path@version`")
    go_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _pinned(self) -> Install:
        loose = [name for name in self.pip if "==" not in name]
        loose += [name for name, version in self.npm.items() if not version[:1].isdigit()]
        loose += [self.go] if self.go is not None and "@v" not in self.go else []
        if loose:
            raise ValueError(
                f"has no exact version of {', '.join(loose)} - pin each, so that a run can be repeated"
            )
        return self


def _topic_filter(text: str) -> str:
    levels = text.split("/")
    if (
        not text
        or "#" in "".join(levels[:-1])
        or any(len(one) > 1 and set(one) & set("+#") for one in levels)
    ):
        raise ValueError(
            "is not a topic filter - + and # stand for whole levels, # for the last (MQTT 3.1.1, 4.7.1)"
        )
    return text


TopicFilter = Annotated[str, AfterValidator(_topic_filter)]


class Topics(_Strict):
    """What a bridge does at its broker beside what it promises; a secure run admits it to these, and to no other."""

    publish: tuple[TopicFilter, ...] = ()
    subscribe: tuple[TopicFilter, ...] = ()


NO_TOPICS = Topics()


class Promises(_Strict):
    """What the bridge promises; what it does not promise is not judged."""

    protocol: Literal["sparkplug", "json"] = "sparkplug"
    store_and_forward: Literal["none", "memory", "disk"] = "none"
    identity: Literal["source_timestamps", "values"] = "source_timestamps"
    primary_host: bool = False
    values: Literal["canonical", "vendor"] = Field(
        default="canonical", description="Units and states of site.yaml, or those that the PLC has"
    )
    json_mapping: JsonMapping | None = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _consistent(self) -> Promises:
        if (self.protocol == "json") != (self.json_mapping is not None):
            raise ValueError(
                "do not agree - protocol json needs `json` with topic and value, sparkplug has none"
            )
        if self.json_mapping is None:
            return self
        if self.json_mapping.timestamp is None and self.identity == "source_timestamps":
            raise ValueError("cannot be held - source timestamps as identity need json.timestamp; or say identity: "
                             "values")  # fmt: skip
        if self.primary_host:
            raise ValueError("cannot be held - a primary host is Sparkplug's, plain JSON has none")
        return self

    def in_manifest(self) -> dict[str, object]:
        """As the judge reads it."""
        promised = self.model_dump(include={"protocol", "store_and_forward", "identity", "primary_host"})
        return promised | {"operations": False}  # alarms, OEE and work orders are what our own bridge derives


class BridgeFile(_Strict):
    """One bridge: its command, its configuration, and what it promises. Texts are templates (docs/bridges.md)."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1, max_length=120)
    version: str = Field(default="", max_length=60)
    command: tuple[str, ...] = Field(default=(), description="Without it somebody else starts the bridge")
    working_folder: str | None = Field(default=None, description="Else an empty folder of the run")
    environment: dict[str, str] = Field(default_factory=dict)
    files: dict[Annotated[str, AfterValidator(_file_name)], ConfigFile] = Field(
        default_factory=dict, description="Configuration files, written into an empty folder of the run"
    )
    settings: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="At hand in templates as settings.NAME"
    )
    ready: Ready = Ready()
    stop: Stop = Stop()
    mqtt: Literal["3.1.1", "5"] = Field(default="3.1.1", description="The embedded broker speaks 3.1.1 alone")
    restarted_by_itself: bool = Field(
        default=False, description="Its command is a supervisor, which starts it again when it was killed"
    )
    install: Install | None = None
    topics: Topics = NO_TOPICS
    promises: Promises = Promises()

    @model_validator(mode="after")
    def _started_by_somebody(self) -> BridgeFile:
        said = {
            "working_folder",
            "environment",
            "stop",
            "restarted_by_itself",
            "install",
        } & self.model_fields_set
        said |= {f"ready.{sign}" for sign in ("log", "port") if getattr(self.ready, sign) is not None}
        if not self.command and said:
            raise ValueError(
                f"has no command, and says {', '.join(sorted(said))} of a process that somebody else starts - give "
                "its command, or leave them out"
            )
        return self

    @property
    def is_external(self) -> bool:
        return not self.command

"""Which bridge a run judges: ours, one of a bridge file, one in Python, or one that somebody else starts."""

from __future__ import annotations

import importlib
import os
import re
import socket
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shakedown.bridge.config import Site
from shakedown.scenarios.bridge_process import BridgeProcess, Launch
from shakedown.scenarios.bridge_runner import (
    Addresses,
    BridgeFactory,
    BridgeRunner,
    InProcessBridge,
    Runnable,
    our_bridge,
)
from shakedown.scenarios.bridges.external import ExternalBridge
from shakedown.scenarios.bridges.fields import Fields, fields_of
from shakedown.scenarios.bridges.find import Found, find_bridge
from shakedown.scenarios.bridges.install import folder_of, missing
from shakedown.scenarios.bridges.model import NO_TOPICS, BridgeFile, Promises, Topics
from shakedown.scenarios.bridges.promised import as_promised
from shakedown.scenarios.bridges.render import Renderer
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.model import to_yaml
from shakedown.scenarios.setups import Setup
from shakedown.twin.enterprise.json_mapping import JsonMapping
from shakedown.twin.network.model import Host


@dataclass(frozen=True)
class Place:
    """Where a bridge is to run, and what the lab knows of it; `seen` says whether anything of it arrived."""

    site: Site
    host: Host
    folder: Path  # the run folder
    scratch: Path  # gone after the run
    connect_to: Addresses
    on_the_wall: bool
    seen: Callable[[], bool]
    other_topics: Callable[[], Sequence[str]]
    say: Callable[[str], None]


class Choice(ABC):
    """One way to have a bridge under test."""

    name = ""
    asked = "ours"  # the words after --bridge
    promises: Promises | None = None  # None: everything that Shakedown's own bridge does
    package = "shakedown.bridge"  # whose log lines are the bridge's

    def check(self, setup: Setup, clock: str, broker: str) -> None:  # noqa: B027 (most have nothing to refuse)
        """Raise UsageError where this bridge cannot be judged by this scenario, on this clock, with this broker."""

    def promised(self, setup: Setup) -> Setup:
        """The scenario as this bridge can be held to it."""
        return setup if self.promises is None else as_promised(setup, self.promises)

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What the manifest says of the bridge; None for our own."""
        return None

    @property
    def json_mapping(self) -> JsonMapping | None:
        """How its plain JSON is to be read; None for Sparkplug."""
        return self.promises.json_mapping if self.promises is not None else None

    @property
    def topics(self) -> Topics:
        """What it does at its broker beside what it promises."""
        return NO_TOPICS

    @abstractmethod
    def runner(self, place: Place) -> BridgeRunner:
        """The bridge, not started yet. Raises ConfigError when it cannot be configured."""


class OurBridge(Choice):
    """The bridge of this project: a process on the wall clock, tasks of this process on a virtual one."""

    name = "ours"

    def __init__(self, factory: BridgeFactory = our_bridge) -> None:
        self._factory = factory

    def runner(self, place: Place) -> BridgeRunner:
        journal = place.scratch / "journal.sqlite"
        if not place.on_the_wall:
            return InProcessBridge(place.host, place.site, journal, place.connect_to, self._factory)
        routes = [f"--connect-to={at}={address}:{port}" for at, (address, port) in place.connect_to.items()]
        site = str((place.folder / "site.yaml").resolve())
        command = [sys.executable, "-m", "shakedown.bridge", "run", site, "--journal", str(journal), *routes]
        return BridgeProcess(
            Launch(
                "ours",
                command,
                place.folder / "bridge.log",
                place.folder / "bridge.jsonl",
                place.scratch,
                ready=place.seen,
                ready_sign=lambda: "nothing of it arrived at the enterprise broker",
            )
        )


class FileBridge(Choice):
    """The bridge of a bridge file."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._file: BridgeFile = found.file
        self.name = self.asked = self._file.name
        self.promises = self._file.promises

    def check(self, setup: Setup, clock: str, broker: str) -> None:
        if clock != "wall":
            raise UsageError(
                f"Bridge {self.name} lives in real time and cannot follow clock {clock}. Add --clock wall."
            )
        if self._file.mqtt == "5" and broker == "embedded":
            raise UsageError(
                f"Bridge {self.name} speaks MQTT 5, and the embedded broker 3.1.1. Add --broker mosquitto."
            )
        if self._file.install is not None and (lacks := missing(self._file.install)):
            raise UsageError(f"Bridge {self.name} is not installed: {'; '.join(lacks)}. Install it: "
                             f"shakedown bridges install {self.name}")  # fmt: skip
        if setup.scenario.secure and not self._file.is_external and (lacks := self._lacks_security()):
            raise UsageError(
                f"Scenario {setup.scenario.name} is secure, and the files of bridge {self.name} make no use of "
                f"{' and '.join(lacks)}. Give a scenario without `secure: true`, or add them to its templates."
            )
        kills = [
            f"{fault.id}: {fault.kind}"
            for fault in setup.scenario.faults
            if fault.strikes == "part" and fault.target in setup.bridges
        ]
        if self._file.is_external and kills:
            raise UsageError(
                f"Scenario {setup.scenario.name} strikes the bridge ({', '.join(kills)}), and the lab cannot do that "
                "to one that it did not start. Give a scenario without, or a bridge file with the bridge's command."
            )

    def _lacks_security(self) -> list[str]:
        """The fields without which no bridge gets into a secure run, and which none of its texts mentions."""
        folder, files = Path(self._found.marks.file).parent, self._file.files.values()
        texts = [*self._file.command, *self._file.environment.values(), *(file.text or "" for file in files)]
        paths = [folder / file.template for file in files if file.template]
        texts += [path.read_text(errors="replace") for path in paths if path.is_file()]
        needed = {"mqtt.ca": "mqtt.ca", "opcua.policy": ".policy"}
        return [name for name, text in needed.items() if not any(text in one for one in texts)]

    @property
    def topics(self) -> Topics:
        return self._file.topics

    @property
    def manifest(self) -> dict[str, Any] | None:
        facts = {"name": self.name, "title": self._file.title, "version": self._file.version}
        return facts | {"watched": not self._file.is_external, "promises": self._file.promises.in_manifest()}

    def runner(self, place: Place) -> BridgeRunner:
        folder = place.scratch / "bridge"
        folder.mkdir()
        install = str(folder_of(self._file.install.into)) if self._file.install is not None else ""
        fields = fields_of(
            place.site, place.connect_to, folder=str(folder), install=install, python=sys.executable,
            settings=self._file.settings,
        )  # fmt: skip
        renderer = Renderer(self._file, self._found.marks, fields)
        (place.folder / "bridge.yaml").write_text(to_yaml(self._found.document), encoding="utf-8")
        for name, text in renderer.files_without_secrets().items():
            (place.folder / f"bridge-{name}").write_text(text, encoding="utf-8")
        for name, text in renderer.files().items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(text, encoding="utf-8")
        if self._file.is_external:
            return ExternalBridge(fields, self._file.ready.within_s, place.seen, place.say)
        working = renderer.working_folder()
        ready = self._file.ready
        return BridgeProcess(
            Launch(
                self.name,
                renderer.command(),
                log=place.folder / "bridge.log",
                usage=place.folder / "bridge.jsonl",
                folder=Path(self._found.marks.file).parent / working if working else folder,
                environment=renderer.environment(),
                ready_log=re.compile(ready.log) if ready.log else None,
                ready=self._sign(place),
                ready_within_s=ready.within_s,
                ready_sign=lambda: _sign_in_words(self._file, place.other_topics()),
                stop_signal=self._file.stop.number,
                stop_within_s=self._file.stop.within_s,
                restarted_by_itself=self._file.restarted_by_itself,
                secrets=renderer.secrets(),
                broker=(fields.mqtt.host, fields.mqtt.port),
            )
        )

    def _sign(self, place: Place) -> Callable[[], bool] | None:
        if self._file.ready.message:
            return place.seen
        port = self._file.ready.port
        return (lambda: _listens(port)) if port is not None else None


class PythonBridge(Choice):
    """A bridge as `async run()` of an object that a factory makes; it runs in this process, on every clock."""

    def __init__(self, spec: str, factory: Callable[[Fields], Runnable], promises: Promises) -> None:
        self.name = self.asked = spec
        self._factory, self.promises = factory, promises
        module = str(getattr(factory, "__module__", self.package))
        self.package = module if module.startswith("shakedown.") else module.partition(".")[0]

    @property
    def manifest(self) -> dict[str, Any] | None:
        assert self.promises is not None
        return {"name": self.name, "title": self.name, "version": "", "promises": self.promises.in_manifest()}

    def runner(self, place: Place) -> BridgeRunner:
        def make(site: Site, journal: Path, connect_to: Addresses) -> Runnable:
            fields = fields_of(site, connect_to, folder=str(journal.parent), python=sys.executable)
            try:
                return self._factory(fields)
            except Exception as error:  # whatever somebody else's code raises
                at = traceback.extract_tb(error.__traceback__)[-1]
                raise UsageError(
                    f"--bridge {self.name}: its factory raised {type(error).__name__}: {error} "
                    f"({at.filename}:{at.lineno}). Mend it: without a bridge there is nothing to judge."
                ) from error

        return InProcessBridge(place.host, place.site, place.scratch / "journal", place.connect_to, make)


def choose(text: str) -> Choice:
    """The bridge that `--bridge TEXT` means. Raises UsageError or ConfigError."""
    if text == "ours":
        return OurBridge()
    found = _python(text) if text.startswith("python:") else FileBridge(find_bridge(text))
    found.asked = text
    return found


def _python(text: str) -> PythonBridge:
    module_name, colon, name = text.removeprefix("python:").partition(":")
    if not (module_name and colon and name):
        raise UsageError(f"--bridge {text} names no factory. Write it as python:PACKAGE.MODULE:FACTORY.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise UsageError(f"--bridge {text}: {error}. Run it where the package is, or install it into this "
                         "environment.") from error  # fmt: skip
    except AttributeError:
        raise UsageError(
            f"--bridge {text}: module {module_name} has no {name}. Give the name of its factory."
        ) from None
    if not callable(factory):
        raise UsageError(
            f"--bridge {text}: {name} cannot be called. Give a function or class that takes `Fields`."
        )
    return of_factory(factory, text)


def of_factory(factory: Callable[..., Any], text: str = "") -> PythonBridge:
    """The bridge that a factory makes, under the name `text` or its own. Raises UsageError for its promises."""
    text = text or f"python:{factory.__module__}:{getattr(factory, '__qualname__', factory)}"
    try:
        promises = Promises.model_validate(getattr(factory, "promises", {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"--bridge {text}: its promises: {where} {first['msg']}. docs/bridges.md says what can be "
                         "promised.") from None  # fmt: skip
    return PythonBridge(text, factory, promises)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sign_in_words(file: BridgeFile, other_topics: Sequence[str]) -> str:
    ready = file.ready
    if ready.log is not None:
        return f"no line of its output matches {ready.log!r}"
    if ready.port is not None:
        return f"nothing listens on 127.0.0.1:{ready.port}"
    seen = f"; what arrived was on {', '.join(other_topics[:5])}" if other_topics else ""
    return f"nothing that it promises arrived at the enterprise broker{seen}"

"""Fills the templates of a bridge file; an unknown field is an error that names file, line and field."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import jinja2.sandbox

from shakedown.bridge.yamlfile import ConfigError, Marks, Path_, did_you_mean
from shakedown.scenarios.bridges.fields import Fields, Mqtt, OpcUa, Secret
from shakedown.scenarios.bridges.model import BridgeFile, ConfigFile

TEMPLATE_BYTES_MAX = 1 << 20
HIDDEN = Secret("***")
TRACER = Secret("shakedown5ecretOfABridge")  # stands for a password, to see where a template puts it


class _Unknown(jinja2.StrictUndefined):
    """A field that does not exist: says what is there instead."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, owner = str(self._undefined_name), self._undefined_obj
        if isinstance(owner, Mapping | SimpleNamespace):
            known = list(map(str, owner if isinstance(owner, Mapping) else vars(owner)))
        elif dataclasses.is_dataclass(owner):
            known = [known for known in dir(owner) if not known.startswith("_")]
        else:
            known = _names()
        return f"unknown field {name!r} - {did_you_mean(name, known)}"


def _names() -> list[str]:
    return [*(field.name for field in dataclasses.fields(Fields)), "devices"]


class Renderer:
    """Renders the texts of one bridge file, whose `marks` say where they stand."""

    def __init__(self, file: BridgeFile, marks: Marks, fields: Fields) -> None:
        self._file, self._marks, self._fields = file, marks, fields
        self._environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            undefined=_Unknown,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )

    def command(self) -> list[str]:
        """The command with its arguments. Raises ConfigError, as all of these, and where it holds a password."""
        traced = self._with_secrets(TRACER)
        for index, text in enumerate(self._file.command):
            if TRACER in traced._text(text, ("command", index)):
                what = (
                    "puts a password on the command line, where everybody on this machine can read it - give it "
                    "to the bridge in environment or in one of its files"
                )
                raise ConfigError([self._marks.problem(("command", index), what)])
        return [self._text(text, ("command", index)) for index, text in enumerate(self._file.command)]

    def environment(self) -> dict[str, str]:
        """What is added to the environment."""
        return {
            name: self._text(text, ("environment", name)) for name, text in self._file.environment.items()
        }

    def working_folder(self) -> str | None:
        folder = self._file.working_folder
        return None if folder is None else self._text(folder, ("working_folder",))

    def files(self) -> dict[str, str]:
        """Every configuration file by its name."""
        return {name: self._config(name, config) for name, config in self._file.files.items()}

    def files_without_secrets(self) -> dict[str, str]:
        """The same for the run folder."""
        return self._with_secrets(HIDDEN).files()

    def _with_secrets(self, text: Secret) -> Renderer:
        """The same with `text` for every password."""
        fields = dataclasses.replace(
            self._fields,
            mqtt=_replaced(self._fields.mqtt, text),
            opcua=_replaced(self._fields.opcua, text),
            servers=tuple(_replaced(server, text) for server in self._fields.servers),
        )
        return Renderer(self._file, self._marks, fields)

    def secrets(self) -> list[str]:
        """Every password that the bridge is given."""
        parts: tuple[Mqtt | OpcUa, ...] = (self._fields.mqtt, self._fields.opcua, *self._fields.servers)
        values = (getattr(part, field.name) for part in parts for field in dataclasses.fields(part))
        return sorted({str(value) for value in values if isinstance(value, Secret) and value})

    def _config(self, name: str, config: ConfigFile) -> str:
        if config.text is not None:
            return self._text(config.text, ("files", name, "text"))
        folder = Path(self._marks.file).parent
        path = folder / str(config.template)
        if not path.resolve().is_relative_to(folder.resolve()):  # what is rendered is kept in the run folder
            what = (
                f"{config.template} leads out of the folder of the bridge file - put the template beside it"
            )
            raise ConfigError([self._marks.problem(("files", name, "template"), what)])
        try:
            with path.open("rb") as file:
                text = file.read(TEMPLATE_BYTES_MAX + 1)
            if len(text) > TEMPLATE_BYTES_MAX:
                raise ConfigError([f"{path}: is larger than {TEMPLATE_BYTES_MAX:,} bytes - shorten it"])
            return self._render(text.decode(), str(path), 1)
        except OSError as error:
            what = f"{config.template} cannot be read: {error.strerror} - it must lie beside the bridge file"
            raise ConfigError([self._marks.problem(("files", name, "template"), what)]) from None
        except UnicodeDecodeError as error:
            raise ConfigError([f"{path}: byte {error.start} is not UTF-8 - save the file as UTF-8"]) from None

    def _text(self, text: str, place: Path_) -> str:
        line = self._marks.values.get(place, (1, 1))[0]
        is_block = "\n" in text  # its first line stands below the `|`
        return self._render(text, self._marks.file, line + is_block, ".".join(map(str, place)))

    def _render(self, text: str, file: str, first_line: int, where: str = "") -> str:
        name = f"{where}: " if where else ""
        try:
            compiled = self._environment.compile(text, filename="<bridge template>")
            template = jinja2.Template.from_code(self._environment, compiled, self._environment.globals)
            return template.render(_context(self._fields))
        except jinja2.TemplateSyntaxError as error:
            place = f"{file}:{first_line + error.lineno - 1}"
            raise ConfigError([f"{place}: {name}not a template: {error.message} - mend it"]) from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            lines = [
                f.lineno
                for f in traceback.extract_tb(error.__traceback__)
                if f.filename == "<bridge template>"
            ]
            at = (lines[-1] if lines else None) or 1  # jinja2 has put the template's own lines there
            raise ConfigError([f"{file}:{first_line + at - 1}: {name}{error}"]) from None


def _context(fields: Fields) -> dict[str, Any]:
    return {name: getattr(fields, name) for name in _names()} | {
        "settings": SimpleNamespace(**fields.settings)
    }


def _replaced(part: Any, text: Secret) -> Any:
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    names = [n for n, v in values.items() if isinstance(v, Secret) and (v or text is TRACER)]
    return dataclasses.replace(part, **dict.fromkeys(names, text))

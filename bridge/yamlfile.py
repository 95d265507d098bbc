"""YAML files that people write: YAML 1.2 scalars, and every error at once with its place and remedy.

PyYAML's C loader only parses here. Scalars are read by the YAML 1.2 core schema (`off`, `no` and `22:30` stay
strings, `1_000` is none), duplicate keys are refused, and size, depth and what aliases grow to are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from shakedown.bridge.yaml_problems import PROBLEMS_MAX, ConfigError, Marks, Path_, did_you_mean
from shakedown.bridge.yaml_reading import Reading

__all__ = ["ConfigError", "Marks", "Path_", "Reading", "did_you_mean", "json_schema", "load", "load_reading", "parse",
           "read", "read_on", "scalar", "validate"]  # fmt: skip

BYTES_MAX = 16 * 1024 * 1024
DEPTH_MAX = 50
DIGITS_MAX = 40
NODES_MAX = 500_000  # counted after aliases are expanded, so that a few nested anchors cannot eat the memory

M = TypeVar("M", bound=BaseModel)

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INF = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)\Z")

_RANGE = re.compile(r"([^{}]*)\{([0-9]{1,6})\.\.([0-9]{1,6})\}([^{}]*)\Z")
"""A key that stands for many, `c{000..999}`; in what it holds, `{}` is the number of each."""

_STR, _SEQ, _MAP = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


class _Loader(yaml.CSafeLoader):
    """The C parser without PyYAML's YAML 1.1 guesses about what a plain scalar is."""


_Loader.yaml_implicit_resolvers = {}


def scalar(text: str) -> Any:
    """Read a plain scalar by the YAML 1.2 core schema (YAML 1.2.2, 10.3.2)."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text) or _FALSE.match(text):
        return text[0] in "tT"
    if _INT.match(text):
        return int(text) if len(text) <= DIGITS_MAX else text
    if _OCT.match(text):
        return int(text[2:], 8)
    if _HEX.match(text):
        return int(text[2:], 16)
    if _FLOAT.match(text):
        return float(text)
    if match := _INF.match(text):
        return float(match[1] + "inf")
    return float("nan") if _NAN.match(text) else text


def read(path: str | Path) -> tuple[Any, Marks]:
    """Parse one YAML document into plain values and their marks.

    Raises ConfigError: unreadable, not UTF-8, too large, not YAML, duplicate keys, unknown tags.
    """
    return parse(_bytes(path), str(path))


def read_on(path: str | Path) -> tuple[Any, Marks, list[str]]:
    """Like `read`, with its problems beside what could be read, for a Reading that reports them with its own."""
    try:
        return _parse(_bytes(path), str(path))
    except ConfigError as error:
        return None, Marks(str(path)), error.problems


def parse(data: bytes | str, name: str) -> tuple[Any, Marks]:
    """Like `read`, of bytes or a text at hand; `name` stands for the file in errors."""
    value, marks, problems = _parse(data, name)
    if problems:
        raise ConfigError(problems)
    return value, marks


def _bytes(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        remedy = "check the path and its rights"
        raise ConfigError([f"{path}: cannot be read: {error.strerror} - {remedy}"]) from None


def _parse(data: bytes | str, name: str) -> tuple[Any, Marks, list[str]]:
    if len(data) > BYTES_MAX:
        raise ConfigError([f"{name}: is larger than {BYTES_MAX:,} bytes - split or shorten it"])
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        _check_depth(text, name)
        node = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise ConfigError([f"{name}: byte {error.start} is not UTF-8 - save the file as UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError([f"{where}: not YAML: {what} - check indentation, quotes and brackets"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{name}: not YAML: {error} - remove the unprintable character"]) from None
    builder = _Builder(Marks(name))
    value = builder.build(node, (), 0) if node is not None else None
    return value, builder.marks, builder.problems


def load(path: str | Path, model: type[M]) -> M:
    """Read a YAML file and validate it with a pydantic model; ConfigError names all problems at once."""
    return load_reading(path, model).settled()


def load_reading(path: str | Path, model: type[M]) -> Reading[M]:
    """Like `load`, for checks that come after those of the model; ConfigError when the file cannot be parsed."""
    value, marks, problems = _parse(_bytes(path), str(path))
    return Reading(value, marks, model, problems)


def validate(value: Any, marks: Marks, model: type[M]) -> M:
    """Validate parsed values with a pydantic model; raises ConfigError with all problems at once."""
    return Reading(value, marks, model).settled()


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for completion in editors."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **model.model_json_schema(by_alias=True)}


class _Builder:
    """Makes plain values of composed nodes, and collects marks and problems on the way."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.problems: list[str] = []
        self._nodes = 0
        self._number: str | None = None  # of the range that is written out
        self._written = 0  # characters of texts in ranges, each of which is one of its own

    def build(self, node: yaml.Node, path: Path_, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            limit = f"{NODES_MAX:,} values" if self._nodes > NODES_MAX else f"{DEPTH_MAX} levels"
            text = f"more than {limit} - an anchor that contains itself, or is repeated too often?"
            raise ConfigError([self.marks.problem(path, text)])
        self.marks.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.ScalarNode):
            if node.tag != _STR:
                self._report(path, f"unknown tag {node.tag} - write the value without it, texts in quotes")
            text = node.value if self._number is None else self._numbered(node.value, self._number, path)
            return text if node.style else scalar(text)
        if node.tag not in (_SEQ, _MAP):
            self._report(path, f"unknown tag {node.tag} - remove it")
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path, depth)

    def _mapping(self, node: yaml.MappingNode, path: Path_, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self.marks.file}:{line}:{column}: a key must be a single word")
                continue
            for key, number in _written_out(key_node):
                inner = (*path, key)
                if number is not None:
                    self._write(len(key), path)
                if key in result:
                    first = self.marks.keys[inner][0]
                    text = f"duplicate key, it is also in line {first} - remove or rename one"
                    name = ".".join(map(str, inner))
                    self.problems.append(f"{self.marks.file}:{line}:{column}: {name}: {text}")
                    continue
                self.marks.keys[inner] = (line, column)
                outer, self._number = self._number, number or self._number
                result[key] = self.build(value_node, inner, depth + 1)
                self._number = outer
        return result

    def _numbered(self, text: str, number: str, path: Path_) -> str:
        if count := text.count("{}"):
            self._write(len(text) + count * len(number), path)
        return text.replace("{}", number)

    def _write(self, length: int, path: Path_) -> None:
        """Count characters that a range repeats, before they are made. Raises ConfigError when they are too many."""
        self._written += length
        if self._written > BYTES_MAX:
            text = f"ranges write out more than {BYTES_MAX:,} characters - shorten the texts or the ranges"
            raise ConfigError([self.marks.problem(path, text)])

    def _report(self, path: Path_, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(self.marks.problem(path, text))


def _written_out(node: yaml.ScalarNode) -> Iterator[tuple[Any, str | None]]:
    """The key of a node, or each of its range with its number, as wide as the first is written."""
    match = _RANGE.match(node.value)
    if match and int(match[2]) <= int(match[3]):
        before, first, last, after = match.groups()
        for number in range(int(first), int(last) + 1):
            text = f"{number:0{len(first)}}"
            yield before + text + after, text
        return
    key = node.value if node.style else scalar(node.value)
    yield (node.value if key is None or isinstance(key, bool | float) else key), None


def _check_depth(text: str, name: str) -> None:
    """Refuse deep nesting before the recursive composer sees it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                mark = event.start_mark
                assert mark is not None
                where = f"{name}:{mark.line + 1}:{mark.column + 1}"
                raise ConfigError([f"{where}: nested deeper than {DEPTH_MAX} levels - flatten it"])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1

"""YAML files that people write: YAML 1.2 scalars, and every error at once with its place and remedy.

PyYAML's C loader only parses here. Scalars are read by the YAML 1.2 core schema (`off`, `no` and `22:30` stay
strings, `1_000` is none), duplicate keys are refused, and size, depth and what aliases grow to are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

BYTES_MAX = 16 * 1024 * 1024
DEPTH_MAX = 50
DIGITS_MAX = 40
NODES_MAX = 500_000  # counted after aliases are expanded, so that a few nested anchors cannot eat the memory
PROBLEMS_MAX = 50

Path_ = tuple[str | int, ...]
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

_STR, _SEQ, _MAP = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


class _Loader(yaml.CSafeLoader):
    """The C parser without PyYAML's YAML 1.1 guesses about what a plain scalar is."""


_Loader.yaml_implicit_resolvers = {}


class ConfigError(Exception):
    """A file cannot be used; `problems` are lines `file:line:column: key.path: what (value) - remedy`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Marks:
    """Where each key and each value of a file stands; lines and columns count from 1.

    Other files may be laid over this one: `layers` are their marks, and the path under which they hold its keys.
    """

    file: str
    keys: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    layers: list[tuple[Marks, Path_]] = field(default_factory=list)

    def where(self, path: Path_, *, key: bool = False) -> str:
        """`file:line:column` of a key path, or of the nearest parent that stands in the file."""
        for length in range(len(path), -1, -1):
            layers = [*reversed(self.layers), (self, ())] if length else [(self, ())]
            for marks, prefix in layers:
                table, full = marks.keys if key else marks.values, (*prefix, *path[:length])
                if mark := table.get(full) or marks.values.get(full):
                    return f"{marks.file}:{mark[0]}:{mark[1]}"
        return self.file

    def problem(self, path: Path_, text: str, *, key: bool = False) -> str:
        """One line of a ConfigError about the value (or the key itself) at `path`."""
        name = ".".join(map(str, path))
        return f"{self.where(path, key=key)}: {name + ': ' if name else ''}{text}"


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
    return load_marked(path, model)[0]


def load_marked(path: str | Path, model: type[M]) -> tuple[M, Marks]:
    """Like `load`, with the marks beside: for checks that come after the model's own."""
    value, marks, problems = _parse(_bytes(path), str(path))
    return _validate(value, marks, model, problems), marks


def validate(value: Any, marks: Marks, model: type[M]) -> M:
    """Validate parsed values with a pydantic model; raises ConfigError with all problems at once."""
    return _validate(value, marks, model, [])


def _validate(value: Any, marks: Marks, model: type[M], problems: list[str]) -> M:
    if not isinstance(value, dict):
        raise ConfigError([f"{marks.where(())}: is {_kind(value)}, expected keys and values"])
    try:
        result = model.model_validate(value)
    except ValidationError as error:
        problems += [_problem(item, marks, model, value) for item in error.errors(include_url=False)]
        raise ConfigError(_bounded(list(dict.fromkeys(problems)))) from None
    if problems:
        raise ConfigError(_bounded(problems))
    return result


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for completion in editors."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **model.model_json_schema(by_alias=True)}


def did_you_mean(name: str, known: list[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or the list of them."""
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "remove it"


class _Builder:
    """Makes plain values of composed nodes, and collects marks and problems on the way."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.problems: list[str] = []
        self._nodes = 0

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
            return node.value if node.style else scalar(node.value)
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
            key = key_node.value if key_node.style else scalar(key_node.value)
            if key is None or isinstance(key, bool | float):
                key = key_node.value
            inner = (*path, key)
            if key in result:
                first = self.marks.keys[inner][0]
                text = f"duplicate key, it is also in line {first} - remove or rename one"
                name = ".".join(map(str, inner))
                self.problems.append(f"{self.marks.file}:{line}:{column}: {name}: {text}")
                continue
            self.marks.keys[inner] = (line, column)
            result[key] = self.build(value_node, inner, depth + 1)
        return result

    def _report(self, path: Path_, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(self.marks.problem(path, text))


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


def _bounded(problems: list[str]) -> list[str]:
    if len(problems) <= PROBLEMS_MAX:
        return problems
    return [*problems[:PROBLEMS_MAX], f"... and {len(problems) - PROBLEMS_MAX} more - mend these first"]


_MESSAGES = {
    "missing": "is missing - add it",
    "string_type": "is {kind}, expected a text - put it in quotes",
    "int_type": "is {kind}, expected a whole number",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "float_type": "is {kind}, expected a number",
    "float_parsing": "is no number",
    "bool_type": "is {kind}, expected true or false",
    "bool_parsing": "is neither true nor false - YAML 1.2 knows only true and false",
    "dict_type": "is {kind}, expected keys and values",
    "model_type": "is {kind}, expected keys and values",
    "model_attributes_type": "is {kind}, expected keys and values",
    "list_type": "is {kind}, expected a list",
    "literal_error": "is none of {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}


def _problem(item: Any, marks: Marks, model: type[BaseModel], root: Any) -> str:
    """One pydantic error as one line of a ConfigError."""
    path = _path_in_file(item["loc"], root)
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        remedy = did_you_mean(str(path[-1]), _known_fields(model, path[:-1]))
        return marks.problem(path, f"unknown field - {remedy}", key=True)
    text = _MESSAGES.get(kind, "")
    if kind == "missing":
        return marks.problem((*path, item["loc"][-1]), text)
    template = text or item["msg"].removeprefix("Value error, ")
    text = template.format(kind=_kind(value), **item.get("ctx", {})) if text else template
    what, dash, remedy = text.partition(" - ")
    is_key = item["loc"][-1:] == ("[key]",)
    return marks.problem(path, f"{what} ({_short(value)}){dash}{remedy}", key=is_key)


def _path_in_file(loc: tuple[Any, ...], root: Any) -> Path_:
    """The part of a pydantic location that really names keys and indices of the file."""
    path: list[str | int] = []
    here = root
    for step in loc:
        if isinstance(here, dict):
            key = step if step in here else next((k for k in here if str(k) == str(step)), None)
            if key is not None:
                path.append(key)
                here = here[key]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            path.append(step)
            here = here[step]
    return tuple(path)


def _known_fields(model: Any, path: Path_) -> list[str]:
    """Names that the models at a key path accept, walked through dict, list, union and nested models."""
    found = [model]
    for step in path:
        found = [inner for outer in found for inner in _inner(outer, step)]
    names = [
        spec.alias or name
        for outer in found
        for kind in _flat(outer)
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, spec in kind.model_fields.items()
    ]
    return list(dict.fromkeys(names))


def _flat(annotation: Any) -> list[Any]:
    """An annotation without its unions and Annotated wrappers."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return [flat for argument in get_args(annotation) for flat in _flat(argument)]
    if hasattr(annotation, "__metadata__"):
        return _flat(get_args(annotation)[0])
    return [annotation]


def _inner(annotation: Any, step: str | int) -> list[Any]:
    result = []
    for kind in _flat(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            result += [f.annotation for name, f in kind.model_fields.items() if step in (name, f.alias)]
        elif get_origin(kind) is dict:
            result.append(get_args(kind)[1])
        elif get_origin(kind) in (list, tuple):
            result.append(get_args(kind)[0])
    return result


_KINDS: dict[type, str] = {
    type(None): "empty",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "keys and values",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

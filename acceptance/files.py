"""What lies in a run folder, read as files that may be cut short, torn or garbled: problems are told, never raised."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

BLOCK_BYTES = 1 << 18
LINE_BYTES_MAX = 16 << 20
PROBLEMS_PER_FILE_MAX = 5


class Problem(msgspec.Struct, frozen=True):
    """Something wrong with the run itself: what, where (file, line), and what to do about it."""

    what: str
    where: str
    remedy: str


RERUN = (
    "run the scenario again; if it happens again, it is a defect of the lab: report it with the run folder"
)


@dataclass
class LogFile:
    """One JSON-lines log; `problems` fills while `records` is consumed, `complete` is known at the end.

    `torn_before` names the record that may follow a torn line: a writer that was killed in the middle of a line and
    started again says so first.
    """

    path: Path
    torn_before: tuple[str, str] | None = None
    has_end: bool = True  # whether a whole file ends in a `Z` record
    problems: list[Problem] = field(default_factory=list)
    complete: bool = False
    totals: dict[str, Any] = field(default_factory=dict)
    end_ns: int = 0
    unreadable: int = 0

    def records(self) -> Iterator[Any]:
        """Every readable record in order, a `Z` record included nowhere: it sets `complete`, `totals`, `end_ns`."""
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[Any]]:
        """The same records, as many at once as were decoded at once."""
        if not self.path.is_file():
            self._problem("is missing", "", "a complete run writes it: " + RERUN)
            return
        torn: tuple[int, str] | None = None
        for number, text, decoded in self._blocks():
            if torn or decoded is None:
                torn = yield from self._line_by_line(number, text, torn)
            elif b'"Z"' in text:
                yield from self._with_ends(number, decoded)
            elif decoded:
                self.complete = False
                yield decoded
        if torn:
            self._unreadable(*torn, last=True)
            self.complete = False
        if self.has_end and not self.complete:
            self._problem("has no Z line at its end: it was not closed in order", "", RERUN)

    def _line_by_line(
        self, first: int, text: bytes, torn: tuple[int, str] | None
    ) -> Generator[list[Any], None, tuple[int, str] | None]:
        """The records of a block in which some line is no plain record; returns the torn line it ends with, if any."""
        for number, line in enumerate(text.splitlines(), first):
            record = _lenient(line)
            if record is _UNREADABLE:
                if torn:
                    self._unreadable(*torn)
                torn = number, repr(line[:60])
                continue
            if torn:
                if not (
                    self.torn_before
                    and isinstance(record, list)
                    and record[0::2][:2] == list(self.torn_before)
                ):
                    self._unreadable(*torn)
                torn = None
            yield from self._with_ends(number, [record])
        return torn

    def _with_ends(self, first: int, records: list[Any]) -> Iterator[list[Any]]:
        """The records, from line `first` on, without those that say where the log ends."""
        plain: list[Any] = []
        for number, record in enumerate(records, first):
            if not (isinstance(record, list) and record and record[0] == "Z"):
                plain.append(record)
                continue
            if plain:
                yield plain
            plain = []
            if self._is_end(record):
                self.complete, self.end_ns, self.totals = True, record[1], record[2]
            else:
                self._unreadable(number, repr(record)[:60])
        if plain:
            self.complete = False
            yield plain

    @staticmethod
    def _is_end(record: list[Any]) -> bool:
        return len(record) == 3 and type(record[1]) is int and isinstance(record[2], dict)

    def malformed_record(self, record: object) -> None:
        """Note a record that is JSON but not of this file's format."""
        self.unreadable += 1
        self._problem(f"holds a record of no known shape: {repr(record)[:80]}", "", RERUN)

    def _unreadable(self, number: int, text: str, *, last: bool = False) -> None:
        self.unreadable += 1
        what = "its last line is truncated" if last else "a line is no JSON"
        self._problem(f"{what}: {text}", f", line {number}", RERUN)

    def _problem(self, what: str, where: str, remedy: str) -> None:
        if len(self.problems) < PROBLEMS_PER_FILE_MAX:
            self.problems.append(Problem(f"{self.path.name} {what}", f"{self.path.name}{where}", remedy))

    def _blocks(self) -> Iterator[tuple[int, bytes, list[Any] | None]]:
        """(number of the first line, lines, their records) by block; None where they cannot be decoded at once."""
        number = 1
        with self.path.open("rb") as file:
            rest = b""
            while True:
                block = file.read(BLOCK_BYTES)
                cut = block.rfind(b"\n") + 1
                if block and not cut and len(rest) + len(block) <= LINE_BYTES_MAX:
                    rest += block
                    continue
                text, rest = (rest + block[:cut], block[cut:]) if block else (rest, b"")
                lines = text.count(b"\n")
                try:
                    records = _decoder.decode_lines(text)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    records = None
                is_plain = records is not None and len(records) == lines and text[-1:] in (b"\n", b"")
                yield number, text, records if is_plain else None
                number += lines
                if not block:
                    return


_decoder = msgspec.json.Decoder()
_UNREADABLE = object()


def _lenient(line: bytes) -> Any:
    """One line as JSON, with NaN and Infinity as Python writes them; `_UNREADABLE` if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _UNREADABLE


def read_json(path: Path, problems: list[Problem], *, remedy: str = RERUN) -> dict[str, Any] | None:
    """The object in a JSON file; None, with a problem reported, when there is none."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        problems.append(Problem(f"{path.name} is missing", path.name, remedy))
    except (ValueError, OSError, RecursionError) as error:
        problems.append(Problem(f"{path.name} cannot be read: {error}", path.name, remedy))
    else:
        if isinstance(found, dict):
            return found
        problems.append(Problem(f"{path.name} holds no object", path.name, remedy))
    return None


class _Yaml12Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """SafeLoader with YAML 1.2 scalars: `off` and `no` are strings, `22:30` is one too."""


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


_NUMBER_STARTS = list("-+.0123456789")
_Yaml12Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", _NUMBER_STARTS),
    ("float", r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$", _NUMBER_STARTS),
):
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _integer)


YAML_BYTES_MAX = 16 << 20
YAML_DEPTH_MAX = 50
YAML_NODES_MAX = 500_000  # with what aliases stand for
"""The bounds of what people write, as the bridge has them: nothing larger can have been run."""


def read_yaml(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    """The mapping in a YAML file; None, with a problem reported, when there is none, or one beyond its bounds."""
    try:
        with path.open("rb") as file:
            document = file.read(YAML_BYTES_MAX + 1)
        _check_bounds(document)
        found = yaml.load(document, Loader=_Yaml12Loader)
    except FileNotFoundError:
        problems.append(Problem(f"{path.name} is missing", path.name, RERUN))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        problems.append(Problem(f"{path.name} cannot be read: {text}", path.name, RERUN))
    else:
        if isinstance(found, dict):
            return found
        problems.append(Problem(f"{path.name} holds no mapping", path.name, RERUN))
    return None


def _check_bounds(document: bytes) -> None:
    """Refuse, before anything is made of it, a document that is too large, too deep, or grows so by its aliases.

    Raises ValueError.
    """
    if len(document) > YAML_BYTES_MAX:
        raise ValueError(f"more than {YAML_BYTES_MAX:,} bytes")
    sizes: dict[str | None, int] = {}  # of what each anchor stands for
    opened: list[tuple[str | None, int]] = []  # anchor of each collection around, and the nodes before it
    nodes = 0
    for event in yaml.parse(document, Loader=_Yaml12Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.NodeEvent):
            nodes += sizes.get(event.anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, nodes - 1))
            elif isinstance(event, yaml.AliasEvent) and any(event.anchor == anchor for anchor, _ in opened):
                raise ValueError(f"the anchor {event.anchor} contains itself")
        if nodes > YAML_NODES_MAX:
            raise ValueError(f"more than {YAML_NODES_MAX:,} values, with what aliases repeat")
        if len(opened) > YAML_DEPTH_MAX:
            raise ValueError(f"nested deeper than {YAML_DEPTH_MAX} levels")

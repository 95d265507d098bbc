"""YAML 1.2 scalars, marks, bounds, and errors that name place, key, value and remedy - all at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shakedown.bridge import yamlfile
from shakedown.bridge.yamlfile import ConfigError, json_schema, load, parse, scalar


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tank(Strict):
    level_pct: float = Field(ge=0, le=100)
    mode: Literal["auto", "manual"] = "auto"
    label: str = ""


class Farm(Strict):
    name: str
    tanks: dict[str, Tank]
    order: list[Tank] = []
    either: Tank | Literal["none"] = "none"

    @model_validator(mode="after")
    def _has_tanks(self) -> Farm:
        if not self.tanks:
            raise ValueError("a farm without tanks - add one")
        return self


def problems(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "farm.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, Farm)
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("Yes", "Yes"), ("y", "y"), ("true", True), ("FALSE", False), ("tRue", "tRue"),
        ("22:30", "22:30"), ("1_000", "1_000"), ("2026-01-05", "2026-01-05"), ("010", 10), ("0o10", 8), ("0x1F", 31),
        ("0b11", "0b11"), ("-0", 0), ("+7", 7), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("1.5e-3", 0.0015),
        (".", "."), ("-.inf", -math.inf), ("~", None), ("null", None), ("", None), ("<<", "<<"), ("=", "="),
        ("1.2.3", "1.2.3"), ("1e", "1e"), ("infinity", "infinity"), ("9" * 100, "9" * 100),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    result = scalar(text)
    assert result == value
    assert type(result) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(scalar(".NaN"))


def test_quoted_scalars_are_texts() -> None:
    assert parse("""[ "5", 'true', "~" ]""", "x")[0] == ["5", "true", "~"]


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text(
        "# comment\nname: off\ntanks: {a: {level_pct: 5}}\norder:\n- level_pct: 1.5\n  mode: manual\n"
    )
    farm = load(path, Farm)
    assert (farm.name, farm.tanks["a"].level_pct, farm.order[0].mode) == ("off", 5.0, "manual")


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = """\
nmae: north
tanks:
  a: {level_pct: 120, mode: of}
  b:
    levl_pct: 5
    label: 7
  b: {}
order:
  - level_pct: full
  - 5
"""
    assert problems(text, tmp_path) == [
        "farm.yaml:7:3: tanks.b: duplicate key, it is also in line 4 - remove or rename one",
        "farm.yaml:1:1: name: is missing - add it",
        "farm.yaml:3:18: tanks.a.level_pct: must be at most 100 (120)",
        "farm.yaml:3:29: tanks.a.mode: is none of 'auto' or 'manual' ('of')",
        "farm.yaml:5:5: tanks.b.level_pct: is missing - add it",
        "farm.yaml:6:12: tanks.b.label: is a number, expected a text (7) - put it in quotes",
        "farm.yaml:5:5: tanks.b.levl_pct: unknown field - did you mean 'level_pct'?",
        "farm.yaml:9:16: order.0.level_pct: is a text, expected a number ('full')",
        "farm.yaml:10:5: order.1: is a number, expected keys and values (5)",
        "farm.yaml:1:1: nmae: unknown field - did you mean 'name'?",
    ]


def test_a_models_own_check_is_placed(tmp_path: Path) -> None:
    assert problems("name: x\ntanks: {}\n", tmp_path) == ["farm.yaml:1:1: a farm without tanks ({'name': 'x', 'tanks': {}}) - add one"]  # fmt: skip  # noqa: E501


def test_an_unknown_name_far_from_any_lists_the_known_ones(tmp_path: Path) -> None:
    (problem,) = problems("name: x\ntanks: {a: {level_pct: 1, colour: red}}\n", tmp_path)
    assert problem == "farm.yaml:2:27: tanks.a.colour: unknown field - known here: level_pct, mode, label"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "farm.yaml: is empty, expected keys and values"),
        ("- 1\n", "farm.yaml:1:1: is a list, expected keys and values"),
        ("a: [1, 2\nb: 3\n", "farm.yaml:2:2: not YAML:"),
        ("a: 1\n\tb: 2\n", "farm.yaml:2:1: not YAML:"),
        ("a: 1\n--- \nb: 2\n", "farm.yaml:2:1: not YAML: expected a single document"),
        ("a: !!python/object:os.system x\n", "farm.yaml:1:4: a: unknown tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !secret x\n", "farm.yaml:1:4: a: unknown tag !secret"),
        ("? [a, b]\n: 1\n", "farm.yaml:1:3: a key must be a single word"),
        ("a: *nowhere\n", "farm.yaml:1:4: not YAML: found undefined alias"),
        ("a: &x [*x]\n", "farm.yaml:1:4: "),
        ("a: " + "[" * 200, "farm.yaml:1:53: nested deeper than 50 levels"),
        ("a: \x07\n", "farm.yaml: not YAML:"),
    ],
)  # fmt: skip
def test_what_is_not_usable_says_where(text: str, expected: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path)[0].startswith(expected)


def test_aliases_are_expanded_within_bounds() -> None:
    value, _ = parse("base: &b {x: 1}\nuse: *b\n", "x")
    assert value == {"base": {"x": 1}, "use": {"x": 1}}
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    with pytest.raises(ConfigError, match="more than 500,000 values"):
        parse(bomb, "bomb.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"absent\.yaml: cannot be read: No such file or directory - check the path"
    ):
        load(tmp_path / "absent.yaml", Farm)
    (tmp_path / "latin.yaml").write_bytes("name: Füller".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: byte 7 is not UTF-8"):
        load(tmp_path / "latin.yaml", Farm)


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "BYTES_MAX", 10)
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        parse("a: 1234567890", "x")


def test_a_key_with_a_range_is_written_out_and_what_is_wrong_in_it_stands_where_it_was_written() -> None:
    value, marks = parse('rack:\n  c{08..10}: {tag: "C{}", list: ["x{}"], n: 1}\n  c{3..1}: {}\n', "x.yaml")
    assert list(value["rack"]) == ["c08", "c09", "c10", "c{3..1}"]
    assert value["rack"]["c09"] == {"tag": "C09", "list": ["x09"], "n": 1}
    assert marks.problem(("rack", "c10", "n"), "is 1") == "x.yaml:2:45: rack.c10.n: is 1"
    with pytest.raises(ConfigError, match="duplicate key, it is also in line 1"):
        parse("c{1..3}: 1\nc2: 1\n", "x.yaml")
    with pytest.raises(ConfigError, match="more than 500,000 values"):
        parse("c{0..999999}: 1\n", "x.yaml")


@pytest.mark.parametrize(
    "text",
    [
        'c{0..9999}: "' + "x" * 5_000 + '{}"\n',
        'c{100000..100099}: "' + "{}" * 30_000 + '"\n',
        '? "' + "x" * 5_000 + '{0..9999}"\n: 1\n',
    ],
    ids=["value", "numbers", "key"],
)
def test_what_ranges_write_out_is_bounded(text: str) -> None:
    with pytest.raises(ConfigError, match="ranges write out more than 16,777,216 characters"):
        parse(text, "x.yaml")


def test_schema_names_its_dialect_and_fields() -> None:
    schema = json_schema(Farm)
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == {"name", "tanks", "order", "either"}


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    found: list[str] = []
    places: list[tuple[int, int]] = []
    try:
        places += parse(text, "x.yaml")[1].values.values()
    except ConfigError as error:
        found = error.problems
    assert all(problem.startswith("x.yaml") for problem in found)
    assert all(line >= 1 and column >= 1 for line, column in places)

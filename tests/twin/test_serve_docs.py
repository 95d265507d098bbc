"""docs/twin.md says what the code does: its paths, its options, its bounds, its examples."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click

from shakedown.scenarios.plant_files import find_plant
from shakedown.twin.cli import twin_group
from shakedown.twin.enterprise.http_server import CONNECTIONS_MAX
from shakedown.twin.web import api
from shakedown.twin.web.live import EVENTS_MAX

PAGE = (Path(__file__).parents[2] / "docs" / "twin.md").read_text()


def test_the_table_holds_exactly_the_operations() -> None:
    told = set(re.findall(r"^\| ([A-Z]+) \| `(/[^`]*)` \|", PAGE, re.MULTILINE))
    operations = api.TwinApi(find_plant("bottling"), 0).operations
    assert told == {(operation.method, operation.path) for operation in operations}


def test_the_table_holds_exactly_the_options_and_their_defaults() -> None:
    serve = twin_group(find_plant).commands["serve"]
    options = {option.opts[0]: option for option in serve.params if isinstance(option, click.Option)}
    rows = re.findall(r"^\| (`--[^|]*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name for names, _ in rows for name in re.findall(r"--[a-z-]+", names)} == set(options)
    for port in ("--port", "--http-port", "--cmms-port"):
        (text,) = [text for names, text in rows if f"`{port}`" in names]
        assert f"({options[port].default})" in text


def test_the_bounds_are_those_of_the_code() -> None:
    for said in (
        f"a body of {api.BODY_BYTES_MAX >> 10} KiB within {api.BODY_TIMEOUT_S:g} s",
        f"{EVENTS_MAX:,} events of each kind, {CONNECTIONS_MAX} connections",
    ):
        assert said in PAGE, said


def test_the_examples_name_what_the_plant_has() -> None:
    plant = find_plant("bottling")
    upsets = {name for name, _ in plant.each_upset()}
    named = set(re.findall(r"POST localhost:8040/upsets/(\w+)", PAGE))
    assert named
    assert named <= upsets
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        ast.parse(example)
    assert '"bowl_noise"' in PAGE
    assert "bowl_noise" in upsets

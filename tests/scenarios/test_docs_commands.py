"""The commands that docs/ci.md, data.md and monitor.md show are ones that there are, with options that there are."""

import re
from pathlib import Path

import click
import pytest

from shakedown.scenarios.cli import cli

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = [
    (name, line)
    for name in ("ci", "data", "monitor")
    for line in re.findall(
        r"^(?:.*`)?(shakedown [a-z][^`\n]*)", (DOCS / f"{name}.md").read_text(), re.MULTILINE
    )
]


def test_commands_are_found():
    assert len(SHOWN) >= 10


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_every_command_shown_is_understood(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text("")
    name, *args = line.split(" > ")[0].split()[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    if args and args != ["BROKER"]:
        assert command.make_context(name, args, max_content_width=100).params

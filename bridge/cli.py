"""The bridge's command line: `shakedown-bridge ...`, or among the lab's commands `shakedown bridge ...`.

The bridge itself is imported where it is needed: a page of help does not wait for its libraries.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shakedown.bridge.app import Bridge
    from shakedown.bridge.config import Site

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class _Route(click.ParamType[tuple[str, tuple[str, int]]]):
    """`host:port=address:port`."""

    name = "HOST:PORT=ADDRESS:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, int]]:
        if isinstance(value, tuple):
            return value
        place, equals, target = str(value).partition("=")
        address, colon, port = target.rpartition(":")
        is_port = re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536
        if not (equals and colon and address and is_port and ":" in place):
            self.fail(
                f"{value!r} is not HOST:PORT=ADDRESS:PORT, for instance broker:1883=10.0.0.7:1883", param, ctx
            )
        return place, (address, int(port))


@click.group("bridge", context_settings={"help_option_names": ["-h", "--help"]})
def bridge_group() -> None:
    """Carry an OPC UA line to the enterprise as Sparkplug B, without loss.

    \b
    Examples:
      shakedown-bridge check site.yaml
      shakedown-bridge run site.yaml --journal /var/lib/shakedown/line1.journal
      shakedown-bridge schema > site.schema.json
    """


@bridge_group.command()
@click.argument("site_file", metavar="SITE.YAML", type=click.Path(path_type=Path))
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    help="Journal file; SITE.journal beside the file if not given.",
)
@click.option(
    "--connect-to", multiple=True, type=_Route(), metavar=_Route.name,
    help="Dial ADDRESS:PORT where the configuration says HOST:PORT. May be repeated.",
)  # fmt: skip
def run(site_file: Path, journal: Path | None, connect_to: tuple[tuple[str, tuple[str, int]], ...]) -> None:
    """Run the bridge of SITE.YAML until SIGTERM (exit 0) or Ctrl-C (exit 130).

    \b
    Examples:
      shakedown-bridge run site.yaml
      shakedown-bridge run site.yaml --journal line1.journal --connect-to broker:1883=127.0.0.1:1883
    """
    from shakedown.bridge.app import Bridge
    from shakedown.bridge.journal.errors import JournalDamaged, JournalError, JournalFull
    from shakedown.bridge.listener import CannotListen
    from shakedown.bridge.south.security import SecurityFileError
    from shakedown.bridge.yamlfile import ConfigError

    _log_to_stderr()
    site = _load(site_file)
    try:
        bridge = Bridge(
            site, journal_path=journal or site_file.with_suffix(".journal"), connect_to=dict(connect_to)
        )
        sys.exit(asyncio.run(_run_until_signal(bridge)))
    except (JournalDamaged, JournalFull) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except (ConfigError, JournalError, SecurityFileError, CannotListen) as error:
        _refuse(str(error))


@bridge_group.command()
@click.argument("site_file", metavar="SITE.YAML", type=click.Path(path_type=Path))
def check(site_file: Path) -> None:
    """Check SITE.YAML and say what it compiles to; exit 2 with every problem if it is not usable.

    Alarm rules without delay or deadband, or that nobody has rationalised, are named; they are no error.
    """
    from shakedown.bridge.config import compile_all
    from shakedown.bridge.core.alarm_remarks import remarks

    model, operations = compile_all(_load(site_file))
    click.echo(f"{site_file}: edge node {model.group_id}/{model.edge_node_id}")
    for device in model.devices:
        count = len(model.of_device(device))
        click.echo(f"  {device}: {count} {'metric' if count == 1 else 'metrics'}")
    for remark in remarks(operations.rules):
        click.echo(f"{site_file}: {remark}")


@bridge_group.command()
def schema() -> None:
    """Print the JSON Schema of site.yaml, for completion in editors."""
    from shakedown.bridge.config import Site
    from shakedown.bridge.yamlfile import json_schema

    click.echo(json.dumps(json_schema(Site), indent=2))


def main() -> None:
    """Entry point of the bridge alone."""
    bridge_group(prog_name="shakedown-bridge")


async def _run_until_signal(bridge: Bridge) -> int:
    """Run, and stop politely on the first SIGTERM or SIGINT; a second one ends the process the hard way."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(bridge.run(), name="bridge")
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:
            loop.remove_signal_handler(number)
            received.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
    return INTERRUPTED if received == [signal.SIGINT] else 0


def _log_to_stderr() -> None:
    """One line an event, in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # what matters of these the bridge says itself, with a bound
    for library in ("asyncua", "httpx2", "uvicorn"):
        logging.getLogger(library).setLevel(logging.ERROR)


def _load(site_file: Path) -> Site:
    from shakedown.bridge.config import load_site
    from shakedown.bridge.yamlfile import ConfigError

    try:
        return load_site(site_file)
    except ConfigError as error:
        _refuse(str(error))
        raise AssertionError from None


def _refuse(text: str) -> None:
    click.echo(f"error: {text}", err=True)
    sys.exit(USAGE)

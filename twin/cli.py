"""The twin's command line: `shakedown twin ...`. What is heavy is imported where it is used."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shakedown.twin.line.plant import Plant
    from shakedown.twin.web.endpoints import Endpoints
    from shakedown.twin.web.serve import Serving

REFUSED, FAILED, INTERRUPTED = 2, 4, 130
NO_AUTHENTICATION = (
    "warning: {host} can be reached from other machines, and nothing here asks who they are: anybody there may read "
    "the plant and upset it. Serve on 127.0.0.1 (leave out --host) unless that is what you want."
)


def twin_group(find_plant: Callable[[str], Plant]) -> click.Group:
    """The commands; `find_plant` makes the plant of a shipped name or a path, or raises an error for people."""

    @click.group("twin", context_settings={"help_option_names": ["-h", "--help"]})
    def twin() -> None:
        """Show a simulated plant, or serve it to develop a client against.

        PLANT is the name of a shipped plant, a plant.yaml, or a folder that holds one.

        \b
        Examples:
          shakedown twin show bottling
          shakedown twin serve bottling
        """

    @twin.command()
    @click.argument("plant")
    @click.option("--svg", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
                  help="write the drawing of the line to FILE instead; - is standard output")  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="for programs")
    def show(plant: str, svg: Path | None, as_json: bool) -> None:
        """Show what PLANT consists of: machines, conveyors, reservoirs, upsets, and every tag.

        \b
        Examples:
          shakedown twin show bottling
          shakedown twin show bottling --svg line.svg
          shakedown twin show my/plant.yaml --json
        """
        if svg is not None and as_json:
            raise click.UsageError("--svg and --json are two answers; ask for one of them")
        _show(find_plant(plant), plant, svg, as_json)

    @twin.command()
    @click.argument("plant")
    @click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="IPv4 address of this machine; others than loopback are open to everybody who reaches it",
    )
    @_port("--port", 4840, "of the OPC UA server")
    @_port("--http-port", 8040, "of the HTTP interface")
    @click.option(
        "--cmms", is_flag=True, help="serve a CMMS too, with the assets of the plant; gone at the end"
    )
    @_port("--cmms-port", 8080, "of the CMMS")
    @click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="of every random stream of the line",
    )
    @click.option(
        "--endpoints",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="write the endpoints there as JSON once everything is served; removed at the end",
    )
    @click.option("--ledger", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                  help="write what physically happens there; must not exist")  # fmt: skip
    def serve(
        plant: str,
        host: str,
        port: int,
        http_port: int,
        cmms: bool,
        cmms_port: int,
        seed: int,
        endpoints: Path | None,
        ledger: Path | None,
    ) -> None:
        """Serve PLANT in real time behind an OPC UA server until SIGTERM (exit 0) or Ctrl-C (exit 130).

        The HTTP interface tells what is physically true on the line, and sets off its upsets.

        \b
        Examples:
          shakedown twin serve bottling
          shakedown twin serve bottling --port 0 --http-port 0 --endpoints bottling.json
          shakedown twin serve my/plant.yaml --seed 7 --cmms --ledger ledger.jsonl
        """
        address = _address(host)
        found = find_plant(plant)
        from shakedown.twin.web.serve import Serving

        asked = Serving(found, seed, address, port, http_port, cmms_port if cmms else None, endpoints, ledger)
        sys.exit(_serve(asked))

    return twin


def _port(name: str, default: int, whose: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that is a TCP port to listen on."""
    return click.option(name, type=click.IntRange(0, 65535), default=default, show_default=True, metavar="N",
                        help=f"{whose}; 0 takes a free one")  # fmt: skip


def _show(plant: Plant, name: str, svg: Path | None, as_json: bool) -> None:
    from shakedown.twin.line.draw import draw_line
    from shakedown.twin.web.overview import as_text, overview

    if svg is not None:
        try:
            with click.open_file(str(svg), "w", encoding="utf-8") as file:
                file.write(draw_line(plant))
        except OSError as error:
            raise click.ClickException(
                f"{svg}: cannot be written: {error.strerror}; check the path and its rights"
            ) from None
    elif as_json:
        click.echo(overview(plant).model_dump_json(indent=2))
    else:
        click.echo(as_text(overview(plant)))
        click.echo(f"\ndrawing: shakedown twin show {name} --svg line.svg; for programs: --json")


def _address(host: str) -> str:
    """The address to listen on, with a warning if others can reach it."""
    try:
        address = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise click.BadParameter(
            f"{host!r} is no IPv4 address; give one of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them",
            param_hint="--host",
        ) from None
    if not address.is_loopback:
        click.echo(NO_AUTHENTICATION.format(host=address), err=True)
    return str(address)


def _serve(asked: Serving) -> int:
    """Serve until told to stop; the exit code."""
    from shakedown.twin.enterprise.errors import LabServiceError
    from shakedown.twin.ledger import LedgerError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    for name in ("asyncua", "uvicorn", "httpx2"):  # what matters of them comes as an error of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ready: list[Endpoints] = []
    try:
        return asyncio.run(_until_signal(asked, ready))
    except (LabServiceError, LedgerError) as error:
        click.echo(f"error: {error}", err=True)
        return FAILED if ready else REFUSED


async def _until_signal(asked: Serving, ready: list[Endpoints]) -> int:
    """Serve, and stop in order on the first signal; a second one of the same kind ends the process the hard way."""
    from shakedown.twin.web.serve import serve

    def announce(endpoints: Endpoints) -> None:
        ready.append(endpoints)
        _announce(endpoints)

    loop = asyncio.get_running_loop()
    task = loop.create_task(serve(asked, announce), name="serving")
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        received.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
    click.echo("stopped", err=True)
    return INTERRUPTED if received[0] == signal.SIGINT else 0


def _announce(endpoints: Endpoints) -> None:
    """Say where everything is; whoever reads this may leave."""
    lines = [f"plant   {endpoints.plant}", f"OPC UA  {endpoints.opcua}", f"HTTP    {endpoints.http}"]
    lines += [f"CMMS    {endpoints.cmms}"] if endpoints.cmms is not None else []
    try:
        click.echo("\n".join([*lines, "Ctrl-C stops it."]))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

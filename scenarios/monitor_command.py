"""`shakedown monitor`: the Sparkplug session of every edge node at a live broker."""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click
from rich.markup import escape
from rich.table import Table

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.options import FiniteRange
from shakedown.scenarios.terminal import ERR, OUT, paragraph, rows

if TYPE_CHECKING:
    from shakedown.acceptance.listening import Address
    from shakedown.acceptance.monitor import EdgeReport, Finding, Monitor, MonitorReport

PORTS = {"mqtt": 1883, "mqtts": 8883}
EXIT_CODES = {"clean": 0, "breaches": 1, "nothing seen": 3}
SHOWN_MAX = 200  # characters of what was seen on the wire, on one line
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    short_help="Check the Sparkplug sessions on a live broker.",
    epilog="""\b
Examples:
  shakedown monitor mqtt://127.0.0.1:1883 --for 60
  shakedown monitor mqtts://broker.example:8883 --ca ca.pem --user reader --password-env MQTT_PASSWORD
  shakedown monitor mqtt://127.0.0.1 --for 600 --json > monitor.json

\b
Exit codes: 0 clean, 1 breaches, 2 usage, or the broker cannot be reached, 3 no edge node was seen""",
)
@click.argument("broker", metavar="BROKER")
@click.option("--for", "for_s", type=FiniteRange(0, min_open=True), metavar="S",
              help="listen for S seconds  [default: until Ctrl-C]")  # fmt: skip
@click.option("--stale-after", type=FiniteRange(0), default=300.0, show_default=True, metavar="S",
              help="an edge node that is not offline and says nothing for longer is stale; 0: none is")  # fmt: skip
@click.option("--user", metavar="NAME", help="MQTT user")
@click.option("--password-env", metavar="NAME", help="the environment variable that holds the password")
@click.option("--password-file", type=FILE, help="the file whose first line is the password")
@click.option(
    "--ca", type=FILE, help="the authority that signed the broker's certificate  [default: the system's]"
)
@click.option("--certificate", type=FILE, help="our own certificate, where the broker asks for one")
@click.option("--key", type=FILE, help="the private key of --certificate")
@click.option("--json", "as_json", is_flag=True, help="print the summary alone, as JSON")
def monitor(
    broker: str,
    for_s: float | None,
    stale_after: float,
    user: str | None,
    password_env: str | None,
    password_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Listen at BROKER (mqtt:// or mqtts://, host and port), and check the session of every Sparkplug edge node.

    It publishes nothing. Breaches, gaps in the sequence, rebirth storms and stale edge nodes are shown as they come,
    and a summary at the end or on Ctrl-C.
    """
    from shakedown.acceptance.listening import CannotListen
    from shakedown.acceptance.monitor import Monitor

    password = _password(password_env, password_file)
    address, name = _address(broker, user, password, _tls(ca, certificate, key))
    watched = Monitor(name, time.time_ns(), stale_after)
    if not as_json:
        watched.on_finding = _print_finding
    try:
        _watch(watched, address, for_s)
    except CannotListen as error:
        raise UsageError(
            f"Cannot listen at {error}. Check the address, user, password and certificates."
        ) from None
    report = watched.report(time.time_ns())
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1))
    else:
        _print(report)
    sys.exit(EXIT_CODES[report.verdict])


def _watch(watched: Monitor, address: Address, for_s: float | None) -> None:
    """Feed the monitor until the time is over, or somebody interrupts."""
    from shakedown.acceptance.listening import Connected, Lost, listen
    from shakedown.acceptance.readers import WireMessage

    until = None if for_s is None else time.monotonic() + for_s
    with contextlib.suppress(KeyboardInterrupt), terminated_like_interrupted():
        for event in listen(address):
            if isinstance(event, WireMessage):
                watched.take(event)
            elif isinstance(event, Connected):
                watched.back(time.time_ns())
                ERR.print(f"listening at {escape(watched.broker)}", soft_wrap=True)
            elif isinstance(event, Lost):
                watched.absent()
                ERR.print(f"[yellow]lost[/] {escape(watched.broker)}, trying again", soft_wrap=True)
            if until is not None and time.monotonic() >= until:
                return


def _password(variable: str | None, file: Path | None) -> str | None:
    if variable and file:
        raise UsageError("--password-env and --password-file both name a password. Give one of them.")
    if variable:
        if (password := os.environ.get(variable)) is None:
            raise UsageError(
                f"--password-env {variable}: the environment has no such variable. Set it first."
            )
        return password
    if file is None:
        return None
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or not lines[0]:
        raise UsageError(f"--password-file {file}: its first line is empty. Write the password there.")
    return lines[0]


def _tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The context of what was given; None when nothing was."""
    if key and not certificate:
        raise UsageError("--key without --certificate. Give both.")
    if not ca and not certificate:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(file) for file in (ca, certificate, key) if file)
        raise UsageError(f"{files}: no usable certificate or key in PEM: {error}.") from None
    return context


def _address(
    url: str, user: str | None, password: str | None, tls: ssl.SSLContext | None
) -> tuple[Address, str]:
    """Where to connect, and how the place is called in what is shown."""
    from shakedown.acceptance.listening import Address

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in PORTS or not host or parts.path not in ("", "/"):
        raise UsageError(f"{url!r} is not a broker. Give mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS.")
    if parts.password is not None:
        raise UsageError("A password in the address is seen by everybody who lists processes. Give --password-env "
                         "or --password-file.")  # fmt: skip
    if tls is not None and parts.scheme == "mqtt":
        raise UsageError("--ca and --certificate are of TLS, and mqtt:// has none. Give mqtts://.")
    user = user or (unquote(parts.username) if parts.username else None)
    if password is not None and user is None:
        raise UsageError("A password needs a user. Add --user.")
    if parts.scheme == "mqtts":
        tls = tls or ssl.create_default_context()
    port = port or PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Address(host, port, user, password, tls), f"{parts.scheme}://{shown}:{port}"


def shown(text: str) -> str:
    """Text from the wire for a terminal: one line, nothing that a terminal would obey."""
    cut = text[:SHOWN_MAX] + "..." * (len(text) > SHOWN_MAX)
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut))


def _print_finding(finding: Finding) -> None:
    from shakedown.acceptance.monitor import level

    colour = "yellow" if level(finding.rule) == "note" else "red"
    OUT.print(
        f"[{colour}]{level(finding.rule)}[/] {shown(finding.edge)}: {finding.rule}: {shown(finding.what)}",
        soft_wrap=True,
    )


def _print(report: MonitorReport) -> None:
    from shakedown.acceptance.rules import RULES
    from shakedown.acceptance.wording import counted

    seconds = (report.to_ns - report.from_ns) / 1e9
    paragraph(OUT, f"\n{escape(report.broker)}: {report.messages:,} messages in {seconds:.0f} s, "
                   f"{counted(len(report.edges), 'edge node')}")  # fmt: skip
    if report.edges:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("edge node", "", "devices", "births", "data", "gaps", "storms", "breaches"):
            table.add_column(
                column, overflow="fold", justify="left" if column in ("edge node", "") else "right"
            )
        for edge in report.edges:
            table.add_row(*_row(edge))
        rows(OUT, table)
    broken = {rule for edge in report.edges for rule in (*edge.breaches, *edge.notes)}
    for rule in (rule for rule in RULES if rule in broken):
        count = sum(edge.breaches.get(rule, 0) + edge.notes.get(rule, 0) for edge in report.edges)
        must, text, clause = RULES[rule]
        paragraph(OUT, f"{count:,} x {rule}: {must}: {text} ({clause})")
    for text in _remarks(report):
        paragraph(OUT, text)
    colour = {"clean": "green", "breaches": "red"}.get(report.verdict, "yellow")
    OUT.print(f"[bold {colour}]{report.verdict}[/]")


def _row(edge: EdgeReport) -> list[str]:
    births = edge.messages.get("NBIRTH", 0) + edge.messages.get("DBIRTH", 0)
    data = edge.messages.get("NDATA", 0) + edge.messages.get("DDATA", 0)
    status = f"{edge.status}, stale for {edge.silent_s:.0f} s" if edge.stale else edge.status
    counts = (
        edge.devices,
        births,
        data,
        edge.sequence_gaps,
        edge.rebirth_storms,
        sum(edge.breaches.values()),
    )
    return [shown(edge.edge), status, *(f"{count:,}" for count in counts)]


def _remarks(report: MonitorReport) -> list[str]:
    from shakedown.acceptance.wording import in_times

    found = []
    if report.connections_lost:
        found.append(
            f"The broker was lost {in_times(report.connections_lost)}: what passed meanwhile was not seen."
        )
    if unread := sum(report.malformed.values()):
        found.append(f"{unread:,} payloads, values or kinds of message could not be read.")
    if report.unfollowed:
        found.append(
            f"{report.unfollowed:,} messages of edge nodes beyond the first thousand were not followed."
        )
    if report.verdict == "nothing seen":
        found.append("No edge node published anything: nothing can be said.")
    return found

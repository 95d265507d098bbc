"""Which MQTT broker a run uses: the embedded one, a Mosquitto of its own, or one that is there already."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.setups import Setup
from shakedown.twin.enterprise.mosquitto import mosquitto_missing


class Broker(Protocol):
    """What a lab needs of a broker."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def crash(self) -> None: ...


def check_choice(choice: str, clock: str, setup: Setup) -> None:
    """Raise UsageError unless `choice` is embedded, mosquitto or an mqtt:// URL that can carry this scenario."""
    if choice == "embedded":
        return
    if choice != "mosquitto":
        foreign_address(choice)
    if clock != "wall":
        raise UsageError(
            f"--broker {choice} is a real process and cannot follow clock {clock}. Add --clock wall."
        )
    if choice == "mosquitto":
        if missing := mosquitto_missing():
            raise UsageError(f"--broker mosquitto: {missing}.")
        return
    if setup.scenario.secure:
        raise UsageError(
            f"--broker {choice}: scenario {setup.scenario.name} is secure, and the lab has no certificate and no users "
            "at a broker that it did not start. Give --broker embedded or mosquitto, or another scenario."
        )
    brokers = {plan.name for plan in setup.plans.values() if plan.kind == "broker"}
    struck = [f"{fault.id} ({fault.kind})" for fault in setup.scenario.faults if fault.target in brokers]
    if struck:
        raise UsageError(
            f"--broker {choice}: scenario {setup.scenario.name} strikes the broker: {', '.join(struck)}. The lab "
            "cannot do that to one that it did not start. Give --broker mosquitto, or a copy of the scenario without "
            f"{', '.join(fault.split()[0] for fault in struck)}."
        )
    if len(brokers) > 1:
        raise UsageError(f"--broker {choice}: scenario {setup.scenario.name} has {len(brokers)} brokers: "
                         f"{', '.join(sorted(brokers))}. Give --broker embedded or mosquitto.")  # fmt: skip


def refuse_user(option: str, address: str) -> None:
    """Raise UsageError for an address with a user in it: it would be in the manifest, the report, the process list."""
    if "@" in address:
        raise UsageError(
            f"{option}: an address must hold no user and no password. Give one that asks for none."
        )


def foreign_address(url: str) -> tuple[str, int]:
    """Host and port of `mqtt://host[:port]`. Raises UsageError."""
    refuse_user("--broker", url)
    try:
        parts = urlsplit(url)
        if parts.scheme == "mqtt" and parts.hostname:
            return parts.hostname, parts.port or 1883
    except ValueError:
        pass
    raise UsageError(f"--broker {url!r} is not a broker. Give `embedded`, `mosquitto` or a URL such as "
                     f"mqtt://127.0.0.1:1883.")  # fmt: skip

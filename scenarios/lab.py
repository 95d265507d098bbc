"""The lab of one run: plant, network, broker, primary host, observer and bridge, and what a fault may do to them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from shakedown.acceptance.observer import Observer
from shakedown.scenarios import disk_space, people
from shakedown.scenarios.bridge_runner import Addresses, BridgeRunner
from shakedown.scenarios.bridges.fields import metrics_of
from shakedown.scenarios.brokers import AcceptanceLog, Broker, make_broker
from shakedown.scenarios.errors import HarnessFault, in_words
from shakedown.scenarios.model import Setup
from shakedown.scenarios.people import LabCmms, People
from shakedown.scenarios.probe import Probe
from shakedown.twin.enterprise.host import Display, PrimaryHost
from shakedown.twin.enterprise.json_host import JsonHost
from shakedown.twin.enterprise.json_mapping import JsonMapping, JsonReader, KnownMetric
from shakedown.twin.ledger import Ledger
from shakedown.twin.line.line import Line
from shakedown.twin.network.model import Conduit, Host, Network
from shakedown.twin.web.plant_server import PlantServer

T = TypeVar("T")
FLOOD_FACTOR, FLOOD_ROWS = 20, 50_000  # more messages or values than this, for what was offered, are a flood
READY_TIMEOUT_S = 30.0  # how long each part of the lab may take to be ready


class Lab:
    """Everything around the bridge, on any clock and any network."""

    def __init__(
        self,
        setup: Setup,
        seed: int,
        network: Network[Any],
        folder: Path,
        broker: str,
        scratch: Path,
        json_mapping: JsonMapping | None = None,
    ) -> None:
        self.setup, self.seed, self.network, self.folder = setup, seed, network, folder
        self._disks = (folder, scratch)
        self._broker_choice = broker
        self._json_mapping = json_mapping
        self.target = next(iter(setup.site.north.values()))
        self._broker_host, self._broker_port = self.target.host_port
        self._services: dict[str, asyncio.Task[None]] = {}
        self._probes: dict[str, Probe] = {}
        self._started = (
            contextlib.AsyncExitStack()
        )  # what has to be taken down, in the reverse order of its start
        self._is_complete = False
        self._broker: Broker
        self._scada: PrimaryHost
        self.displays: list[Display] = []  # of the primary host, whichever it is just now
        self._hosts: dict[str, Host] = {}
        self._people: People | None = None
        self.bridge: BridgeRunner
        self.line: Line
        self.ledger: Ledger
        self._plant: PlantServer
        self.end_ns = 0

    # -- putting it up and taking it down -------------------------------------------------------------------------

    async def start(self) -> None:
        """Put up network, broker, host, observer and probes, and the plant's server; the line stands still.

        Whether it raises or not, `stop` takes down what was started.
        """
        self._wire_zones()
        self._started.push_async_callback(self.network.close)
        await self.network.start()
        await self._start_broker()
        self._started.push_async_callback(self._end_services)
        await self._start_host()
        await self.ready("the primary host's connection to the broker", self._scada.connected)
        address, port = await self.network.route("judge", self._broker_host, self._broker_port)
        observer = Observer(address, port, log=self.folder / "observer.jsonl")
        self.serve("observer", "judge", observer.run())
        await self.ready("the observer's connection to the broker", observer.connected)
        for name, probe in self._probes.items():
            self._started.callback(probe.close)
            await probe.listen()
            self._services[f"probe of {name}"] = probe.start()
        if people.are_needed(self.setup.site):
            await self._start_people()
        await self._start_plant()

    async def _start_people(self) -> None:
        self._people = People(self, self._disks[1])
        self._started.push_async_callback(self._people.close)
        self._started.push_async_callback(self._finish_people)
        await self._people.start()

    async def _finish_people(self) -> None:
        assert self._people is not None
        await self._people.finish(complete=self._is_complete)

    async def _start_broker(self) -> None:
        acceptance = None
        if self._broker_choice == "embedded":
            acceptance = AcceptanceLog(self.folder / "broker.jsonl")
            self._started.callback(acceptance.close)
        address, port = await self.network.listen_address(self._broker_host, self._broker_port)
        self._broker = make_broker(self._broker_choice, address, port, self.folder, acceptance)
        self._started.push_async_callback(self._broker.stop)
        await self.on(self._broker_host, self._broker.start())

    def _wire_zones(self) -> None:
        model = self.setup.scenario.network
        self.network.add_conduit("cell", ("cell", "site"), **model.cell.model_dump())
        self.network.add_conduit("wan", ("site", "enterprise"), **model.wan.model_dump())
        places = {
            "bridge": "site",
            self._broker_host: "enterprise",
            "scada": "enterprise",
            "judge": "enterprise",
        } | people.places(self.setup.site)
        places |= dict.fromkeys(
            (self._host_of(south.endpoint) for south in self.setup.site.south.values()), "cell"
        )
        self._hosts = {name: self.network.add_host(name, zone) for name, zone in places.items()}
        self._probes = {
            "wan": Probe(self.network, "wan", "site", "enterprise"),
            "cell": Probe(self.network, "cell", "site", "cell"),
        }

    async def _start_plant(self) -> None:
        south = next(iter(self.setup.site.south.values()))
        self._plc = self._host_of(south.endpoint)
        address, port = await self.network.listen_address(self._plc, self._port(south.endpoint, 4840))
        self._plant = PlantServer(self.setup.plant, address, port)
        self._started.callback(self._write_counters)
        self._started.push_async_callback(self._plant.server.stop)
        await self.on(self._plc, self._plant.server.start())

    def start_line(self) -> None:
        """Let the line run: from now on it offers samples."""
        self.ledger = Ledger(self.folder / "ledger.jsonl", start_ns=time.time_ns())
        self._started.push_async_callback(self._end_ledger)
        self.line = self._plant.set_up(self.seed, self.ledger)
        self.serve("opc ua publishing", self._plc, self._plant.publish())
        self.serve("line", self._plc, self._plant.run_line())
        if self._people is not None:
            self._people.follow_line()

    async def stop_line(self) -> None:
        """Let the line stand still; the server goes on serving what it has."""
        await self.end("line")

    def use(self, bridge: BridgeRunner) -> None:
        """Take in the bridge under test; it is not started yet."""
        self.bridge = bridge
        self._started.push_async_callback(bridge.stop)

    async def stop(self, *, complete: bool) -> None:
        """Take down whatever was started, each part whatever becomes of the others.

        The logs get their last records; the ledger only if the run was `complete`, so that no half one is judged.
        """
        self.end_ns = time.time_ns()
        self._is_complete = complete
        await self._started.aclose()

    async def _end_ledger(self) -> None:
        await self.stop_line()
        self.ledger.close(complete=self._is_complete)

    def _write_counters(self) -> None:
        counters = {"server": self._plant.server.counters, "broker": getattr(self._broker, "counters", None)}
        (self.folder / "server.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(counters, enc_hook=vars))
        )

    async def _end_services(self) -> None:
        for name in list(self._services):
            await self.end(name)

    # -- tasks ----------------------------------------------------------------------------------------------------

    async def on(self, host: str, coro) -> None:  # type: ignore[no-untyped-def]
        try:
            async with asyncio.timeout(READY_TIMEOUT_S) as limit:
                await self._hosts[host].spawn(coro)
        except TimeoutError:
            if not limit.expired():
                raise
            raise HarnessFault(f"{host} was not ready within {READY_TIMEOUT_S:g} s") from None

    async def at(self, host: str, coro: Coroutine[Any, Any, T]) -> T:
        """What `coro` returns, carried out on `host`."""
        return await self._hosts[host].spawn(coro)

    def serve(self, name: str, host: str, coro) -> None:  # type: ignore[no-untyped-def]
        self._services[name] = self._hosts[host].spawn(coro, name=name)

    async def end(self, name: str) -> None:
        task = self._services.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=READY_TIMEOUT_S)

    async def ready(self, what: str, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await event.wait()
        except TimeoutError:
            self.check()
            raise HarnessFault(f"{what} was not ready within {READY_TIMEOUT_S:g} s") from None

    def check(self) -> None:
        """Raise HarnessFault when a part of the lab has died by itself, or is about to run out of disk."""
        disk_space.check_run(*self._disks)
        for name, task in self._services.items():
            if task.done():
                error = None if task.cancelled() else task.exception()
                why = in_words(error) if error else "nobody asked it to"
                raise HarnessFault(f"the lab's {name} ended by itself: {why}") from error

    @staticmethod
    def _host_of(url: str) -> str:
        return urlsplit(url).hostname or ""

    @staticmethod
    def _port(url: str, default: int) -> int:
        return urlsplit(url).port or default

    async def addresses(self) -> Addresses:
        """What the bridge must dial for each place that site.yaml names."""
        urls = [(south.endpoint, 4840) for south in self.setup.site.south.values()]
        urls += [(north.broker, 1883) for north in self.setup.site.north.values()]
        urls += [(cmms.url, 80)] if (cmms := self.setup.site.cmms) is not None else []
        return {
            f"{self._host_of(url)}:{self._port(url, default)}": await self.network.route(
                "bridge", self._host_of(url), self._port(url, default)
            )
            for url, default in urls
        }

    # -- what a fault may lay hands on ----------------------------------------------------------------------------

    def conduit(self, name: str) -> Conduit:
        return self.network.conduit(name)

    def probe(self, conduit: str) -> Probe:
        return self._probes[conduit]

    def host_rows(self) -> int:
        return self._scada.samples

    def bridge_was_seen(self) -> bool:
        """Whether anything that the bridge promises has arrived at the enterprise."""
        return self._scada.messages > 0

    def other_topics(self) -> list[str]:
        """Topics with messages that a bridge with plain JSON does not declare."""
        return self._scada.other_topics if isinstance(self._scada, JsonHost) else []

    def flood(self) -> str | None:
        """What is wrong when the enterprise has many times what was ever offered; None while all is well."""
        most = FLOOD_FACTOR * self.ledger.samples_written + FLOOD_ROWS
        if max(self._scada.samples, self._scada.messages) <= most:
            return None
        return (
            f"it flooded the enterprise: {self._scada.messages} messages with {self._scada.samples} values, where "
            f"{self.ledger.samples_written} were offered; it was stopped"
        )

    def rebirth_requests(self) -> int:
        return self._scada.rebirths_asked

    def ask_for_rebirth(self) -> None:
        site = self.setup.site
        self._scada.ask_rebirth(f"{site.group_id}/{site.line}", "the drill says so", at_once=True)

    async def _start_host(self) -> None:
        address, port = await self.network.route("scada", self._broker_host, self._broker_port)
        keep_alive_s = round(self.target.host_keep_alive_s)
        log = self.folder / "host.jsonl"
        if self._json_mapping is not None:
            site = self.setup.site
            known = [KnownMetric(m.device, m.name, m.node, m.type) for m in metrics_of(site)]
            reader = JsonReader(self._json_mapping, known)
            edge = f"{site.group_id}/{site.line}"
            self._scada = JsonHost(
                address,
                port,
                reader=reader,
                edge=edge,
                keep_alive_s=keep_alive_s,
                log=log,
                displays=self.displays,
            )
        else:
            self._scada = PrimaryHost(
                address,
                port,
                host_id=self.target.primary_host,
                keep_alive_s=keep_alive_s,
                log=log,
                displays=self.displays,
            )
        self.serve("primary host", "scada", self._scada.run())

    async def command(self, edge: str, device: str, metric: str, text: str) -> None:
        """Have the primary host write to a metric of a device. Raises OSError when it cannot."""
        await self._scada.command(edge, device, metric, text)

    async def unplug_host(self) -> None:
        self._hosts["scada"].unplug()
        self._scada.cut()
        self._ending_host = self._services.pop("primary host")
        self._ending_host.cancel()

    async def replug_host(self) -> None:
        await asyncio.wait((self._ending_host,), timeout=READY_TIMEOUT_S)
        self._hosts["scada"].plug()
        await self._start_host()  # it is for the host to find a broker, which may be down just now

    async def crash_broker(self) -> None:
        await self._broker.crash()

    async def start_broker(self) -> None:
        await self.on(self._broker_host, self._broker.start())

    async def broker_answers(self) -> bool:
        return await self.at("judge", self._dial_broker())

    async def _dial_broker(self) -> bool:
        address, port = await self.network.route("judge", self._broker_host, self._broker_port)
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(address, port)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        return await reader.read(1) != b""  # a proxy in front of nothing accepts and closes
                return True
        except (OSError, TimeoutError):
            return False
        finally:
            with contextlib.suppress(UnboundLocalError):
                writer.close()

    async def kill_bridge(self) -> None:
        await self.bridge.kill()

    async def start_bridge(self) -> None:
        await self.bridge.start()

    def bridge_is_running(self) -> bool:
        return self.bridge.is_running()

    def cmms(self) -> LabCmms:
        assert self._people is not None
        assert self._people.cmms is not None, "the scenario was checked for it"
        return self._people.cmms

    @property
    def backlog(self) -> int:
        """Samples offered that the primary host does not hold yet."""
        return max(0, self.ledger.samples_written - self._scada.samples)

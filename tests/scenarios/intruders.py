"""Intruders who try, from the bridge's own machine, whatever a secure run must refuse; and our bridge beside them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import SimpleNamespace
from urllib.parse import urlsplit

from asyncua import ua

from shakedown.bridge.south.security import secure
from shakedown.scenarios.bridges.choice import OurBridge
from shakedown.scenarios.security import AUTHORITY
from shakedown.twin.authority import Authority, Credentials
from tests.twin.mqtt_wire import Client, Will, connect, packet
from tests.twin.opcua_rig import Peer

BEGIN_S = 5
DISCONNECT = packet(14)


class Intruded(OurBridge):
    """Our bridge, and intruders who come a few seconds after its first start."""

    def __init__(self, forger="observer"):
        super().__init__()
        self._forger = forger  # the user whom one of them is, and rightly so
        self.done = []  # what they were answered

    def runner(self, place):
        runner = super().runner(place)
        if hasattr(self, "_place"):
            return runner  # one is enough
        self._place, start = place, runner.start

        async def start_both():
            await start()
            if not self.done:
                self.done.append("begun")
                self._task = place.host.spawn(self._intrude(), name="intruders")

        runner.start = start_both
        return runner

    async def _intrude(self):
        await asyncio.sleep(BEGIN_S)
        site, place = self._place.site, self._place
        north, south = next(iter(site.north.values())), next(iter(site.south.values()))
        self._mqtt = place.connect_to["{}:{}".format(*north.host_port)]
        self._secrets, self._ca = place.scratch.parent / AUTHORITY, north.tls.ca
        self._edge = f"{site.group_id}/{{}}/{site.line}"
        await self._the_line_has_its_session()
        await self._without_certificate()
        await self._with_wrong_password()
        await self._for_somebody_else()
        await self._at_the_plc(south)
        self.done.append("ended")

    def _credentials(self, name):
        folder = self._secrets
        return Credentials(
            name,
            folder / f"{name}.password",
            folder / "ca.pem",
            folder / f"{name}.pem",
            folder / f"{name}.key",
        )

    async def _the_line_has_its_session(self):
        """Wait for data of the bridge: on a busy machine it may need longer than that to connect."""
        own = self._credentials("observer")
        client = await Client.dial(*self._mqtt, tls=own.tls())
        assert await client.connect("listener", user=own.user) == 0
        await client.subscribe((f"spBv1.0/{self._edge.format('DDATA')}/+", 0))
        await client.receive(60)
        await client.disconnect()

    async def _without_certificate(self):
        tls = ssl.create_default_context(cafile=self._ca)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            client = await Client.dial(*self._mqtt, tls=tls)
            client.send(connect("x", user=self._credentials("bridge").user))
            self.done.append(("no certificate", (await client.receive()).kind))

    async def _with_wrong_password(self):
        client = await Client.dial(*self._mqtt, tls=self._credentials(self._forger).tls())
        self.done.append(("wrong password", await client.connect("x", user=(self._forger, "hunter2"))))

    async def _for_somebody_else(self):
        """A user who may do nothing of the kind tries to end the line's session and the host's."""
        own = self._credentials(self._forger)
        will = Will(f"spBv1.0/{self._edge.format('NDEATH')}", b"forged", 1)
        client = await Client.dial(*self._mqtt, tls=own.tls())
        assert await client.connect("forger", user=own.user, will=will) == 0
        for topic in (
            f"spBv1.0/{self._edge.format('NDEATH')}",
            f"spBv1.0/{self._edge.format('DDATA')}/x",
            "STATE/scada",
        ):
            await client.publish(topic, b"forged", 1)
        offline = b'{"online": false, "timestamp": 4102444800000}'
        await client.publish("spBv1.0/STATE/scada", offline, 1, retain=True)
        await client.publish(f"spBv1.0/{self._edge.format('NCMD')}", b"forged", 1)
        client.cut()
        thief = await Client.dial(*self._mqtt, tls=own.tls())
        self.done.append(
            ("client id", await thief.connect(self._edge.format("").replace("//", "/"), user=own.user))
        )
        bridge = self._credentials("bridge")
        reader = await Client.dial(*self._mqtt, tls=bridge.tls())
        assert await reader.connect("reader", user=bridge.user) == 0
        self.done.append(("wildcard", await reader.subscribe(("spBv1.0/#", 1))))
        reader.send(DISCONNECT)

    async def _at_the_plc(self, south):
        url = urlsplit(south.endpoint)
        address, port = self._place.connect_to[f"{url.hostname}:{url.port}"]
        endpoint = f"opc.tcp://{address}:{port}{url.path}"
        folder = self._place.scratch / "foreign"
        foreign = Authority(folder).issue("stranger", application_uri="urn:stranger")
        mine, server = south.security, south.security.server_certificate
        for files in ((foreign.certificate, foreign.key), (mine.certificate, mine.key)):
            peer = Peer(endpoint)
            secure(peer.client, SimpleNamespace(
                policy="Basic256Sha256", certificate=str(files[0]), key=str(files[1]), server_certificate=server
            ), "stranger")  # fmt: skip
            await self._sign_in(peer, "hunter2")
        await self._sign_in(Peer(endpoint), None)

    async def _sign_in(self, peer, password):
        await peer.open()
        try:
            await peer.client.create_session()
            await peer.client.activate_session("bridge" if password else None, password)
            self.done.append("admitted")
        except ua.UaStatusCodeError as error:
            self.done.append(type(error).__name__)
        peer.kill()

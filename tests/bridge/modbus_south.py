"""A Modbus TCP server, and a south that polls one: what somebody has to write who adds a kind of south."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections import Counter

from pydantic import Field, field_validator

from shakedown.bridge.core.model import Reading
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.south.config import SouthConfig
from shakedown.bridge.south.kinds import Kind

READ_HOLDING_REGISTERS = 3
BAD_OUT_OF_RANGE = 0x803C0000  # what a Modbus exception is called north of it: an OPC UA StatusCode


class ModbusConfig(SouthConfig):
    """`modbus://host:502`; a metric's `node` is `holding:ADDRESS`."""

    poll_s: float = Field(1.0, gt=0, le=3600)

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, text: str) -> str:
        if not re.fullmatch(r"modbus://[^/:\s]+(:\d{1,5})?", text):
            raise ValueError("is not a Modbus endpoint - write it as modbus://host:502")
        return text


class ModbusSouth:
    """Polls holding registers; a value is a reading when it has changed, and is stamped as it arrives."""

    def __init__(
        self, name, config, metrics, stored, *, connect_to, on_readings, on_lost, on_alive, on_event
    ) -> None:
        self.name, self.counters = name, Counter()
        self._metrics, self._poll_s = metrics, config.poll_s
        host, _, port = config.endpoint.removeprefix("modbus://").partition(":")
        self._address = (connect_to or {}).get(f"{host}:{port or 502}", (host, int(port or 502)))
        self._on_readings, self._on_lost, self._on_alive = on_readings, on_lost, on_alive
        self._last = {}
        if state := stored(name):
            self._last = dict(struct.iter_unpack("<II", state))

    async def run(self):
        while True:
            try:
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(*self._address)
                self._on_alive(self.name)
                await self._poll(reader, writer)
            except (OSError, EOFError):
                self._on_lost(self.name)
            await asyncio.sleep(1)

    async def _poll(self, reader, writer):
        try:
            while True:
                values, readings = dict(self._last), []
                for metric in self._metrics:
                    async with asyncio.timeout(5):
                        value = await self._read(reader, writer, int(metric.node_id.removeprefix("holding:")))
                    if values.get(metric.metric_id) != value:
                        values[metric.metric_id] = value
                        is_bad = value > 0xFFFF
                        readings.append(
                            Reading(metric.metric_id, time.time_ns(), None if is_bad else float(value),
                                    BAD_OUT_OF_RANGE if is_bad else 0)
                        )  # fmt: skip
                if readings:
                    await self._store(readings, values)
                await asyncio.sleep(self._poll_s)
        finally:
            writer.close()

    async def _store(self, readings, values):
        state = b"".join(struct.pack("<II", *item) for item in values.items())
        while True:
            try:
                await self._on_readings(readings, {self.name: state})
                self._last = values
                return
            except JournalError:
                await asyncio.sleep(1)

    async def _read(self, reader, writer, address):
        """The value of one register; more than 16 bits where the server answers with an exception."""
        writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 1, READ_HOLDING_REGISTERS, address, 1))
        length = struct.unpack(">HHH", await reader.readexactly(6))[2]
        answer = await reader.readexactly(length)
        self.counters["reads"] += 1
        return 0x10000 if answer[1] & 0x80 else struct.unpack(">H", answer[3:5])[0]


MODBUS = Kind(ModbusConfig, lambda: ModbusSouth)


class ModbusServer:
    """Serves `registers`; an address that is not among them gets exception 2 (Modbus Application Protocol, 6.3)."""

    def __init__(self, host, port, registers):
        self.registers = registers
        self._address = (host, port)

    async def start(self):
        self._server = await asyncio.start_server(self._serve, *self._address)

    async def stop(self):
        self._server.close()

    async def _serve(self, reader, writer):
        try:
            while True:
                number, _, _, unit, code, address, _ = struct.unpack(">HHHBBHH", await reader.readexactly(12))
                if address in self.registers:
                    body = struct.pack(">BBBH", unit, code, 2, self.registers[address])
                else:
                    body = struct.pack(">BBB", unit, code | 0x80, 2)
                writer.write(struct.pack(">HHH", number, 0, len(body)) + body)
        except EOFError:
            writer.close()

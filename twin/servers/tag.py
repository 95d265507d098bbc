"""The value of one signal in the address space: what it is now, and what it was (raw history).

A tag outlives the server that shows it: like the memory of a PLC it goes on while the OPC UA server is down, so that
HistoryRead can fill the gap afterwards.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from asyncua import ua
from asyncua.server.address_space import AttributeValue

from shakedown.twin.servers import encoding
from shakedown.twin.servers.monitored_item import Sample


class Signal(Protocol):
    """What the server needs to know of a signal; `shakedown.twin.line` has the real ones."""

    @property
    def tag(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def data_type(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def eu_low(self) -> float | None: ...
    @property
    def eu_high(self) -> float | None: ...
    @property
    def machine(self) -> str: ...
    @property
    def scan_ms(self) -> int: ...
    @property
    def description(self) -> str: ...


class TagValue(AttributeValue):
    """The Value attribute of a signal's variable, without a DataValue object until somebody reads it."""

    def __init__(self, signal: Signal, history_values: int) -> None:
        try:
            self._encode = encoding.data_value_encoder(signal.data_type)
        except KeyError:
            raise ValueError(
                f"signal {signal.tag}: data_type {signal.data_type!r} is not one of "
                f"{', '.join(encoding.SCALARS)}; declare one of these in the plant file"
            ) from None
        self.signal = signal
        self.variant_type = ua.VariantType[signal.data_type]
        self.scan_ms = float(signal.scan_ms)
        self.history: deque[Sample] = deque(maxlen=history_values)
        self.held = 0  # samples that it has had, those that its history no longer holds too
        self.shown = 0  # to monitored items
        self.sample = self.encode(None, ua.StatusCodes.BadWaitingForInitialData, 0, 0)
        self.server_ticks = 0
        super().__init__(None)

    @property
    def value(self) -> ua.DataValue:
        """The current DataValue, built for whoever reads it."""
        sample = self.sample
        variant = ua.Variant(sample.value, self.variant_type) if sample.value is not None else None
        return ua.DataValue(
            variant,
            ua.StatusCode(sample.status),
            SourceTimestamp=ua.win_epoch_to_datetime(sample.source_ticks),
            ServerTimestamp=ua.win_epoch_to_datetime(self.server_ticks),
        )

    @value.setter
    def value(self, _: Any) -> None:
        """Tags are read-only: the line alone changes them, by `offer`."""

    def encode(self, value: Any, status: int, source_ticks: int, server_ticks: int) -> Sample:
        """The sample of a value in this signal's type; struct.error if it does not fit."""
        return Sample(value, status, source_ticks, self._encode(value, status, source_ticks, server_ticks))

    def offer(self, value: Any, status: int, source_ticks: int, server_ticks: int, now_ns: int) -> None:
        """A new value: into the history, and to every monitored item."""
        self.sample = sample = Sample(
            value, status, source_ticks, self._encode(value, status, source_ticks, server_ticks)
        )
        self.server_ticks = server_ticks
        self.history.append(sample)
        self.held += 1
        self.shown += len(self.datachange_callbacks)
        for item in self.datachange_callbacks.values():
            item.offer(sample, now_ns)  # MonitoredItem: nothing else may register

"""From a vendor's reading to a canonical sample: type, unit, state, quality.

What cannot be carried becomes a sample of quality BAD whose status says why; nothing that a server sends raises.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from shakedown.bridge.core import datatypes as t
from shakedown.bridge.core.model import BAD, GOOD, STALE, Metric, Reading, Sample, Value

BAD_ENCODING_LIMITS_EXCEEDED = 0x80080000
BAD_INVALID_TIMESTAMP = 0x80230000
BAD_NO_COMMUNICATION = 0x80310000
BAD_OUT_OF_RANGE = 0x803C0000
BAD_TYPE_MISMATCH = 0x80740000
UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE = 0x408F0000
UNCERTAIN_LAST_USABLE_VALUE = 0x40900000

TEXT_BYTES_MAX = 4096
"""Longest text that is carried; a longer one is BAD, never cut."""

EARLIEST_NS = 946_684_800 * 10**9  # 2000-01-01: a PLC that lost its clock says 1970
LATEST_NS = 7_258_118_400 * 10**9  # 2200-01-01
FLOAT_MAX = 3.4028234663852886e38


def normalise(metric: Metric, reading: Reading) -> Sample:
    """Make the canonical sample of a reading.

    The timestamp is the source's in ms, cut not rounded. A value that does not fit the metric's type is replaced by
    null; one with an implausible timestamp is kept. Both are BAD, with the OPC UA StatusCode that names the reason.
    """
    metric_id, source_ts_ns, value, status = reading
    ts_ms = source_ts_ns // 1_000_000
    quality = quality_of(status) if status else GOOD
    if value is None:
        return Sample(metric_id, max(ts_ms, 0), None, quality if status else BAD, status or BAD_TYPE_MISMATCH)
    coerced = _COERCE[metric.datatype](metric, value)
    if coerced is None:
        return Sample(metric_id, max(ts_ms, 0), None, BAD, status if status >> 31 else _reason(metric, value))
    if not EARLIEST_NS <= source_ts_ns < LATEST_NS:
        return Sample(metric_id, min(max(ts_ms, 0), (1 << 63) - 1), coerced, BAD, BAD_INVALID_TIMESTAMP)
    return Sample(metric_id, ts_ms, coerced, quality, status if quality != GOOD or status >> 30 else 0)


def quality_of(status: int) -> int:
    """Sparkplug quality of an OPC UA StatusCode: its severity, and STALE for the last usable value."""
    severity = status >> 30 & 3
    if severity == 0:
        return GOOD
    if severity == 1:
        last_usable = (UNCERTAIN_LAST_USABLE_VALUE, UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE)
        return STALE if status & 0xFFFF0000 in last_usable else GOOD
    return BAD


def is_refused(reading: Reading, sample: Sample) -> bool:
    """Whether the bridge made a sample BAD that its source had called good: counted, and declared."""
    return sample.quality == BAD and not reading.status >> 31


def _number(metric: Metric, value: Any) -> Value:
    if type(value) is not float:
        if type(value) is not int:
            return None
        try:
            value = float(value)
        except OverflowError:
            return None
    value = value * metric.factor + metric.offset
    return value if isfinite(value) else None


def _float(metric: Metric, value: Any) -> Value:
    number = _number(metric, value)
    return number if number is not None and abs(number) <= FLOAT_MAX else None  # type: ignore[arg-type]


def _integer(metric: Metric, value: Any) -> Value:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return None
    low, high = t.INTEGER_RANGE[metric.datatype]
    return value if low <= value <= high else None


def _boolean(metric: Metric, value: Any) -> Value:
    return value if type(value) is bool else None


def _text(metric: Metric, value: Any) -> Value:
    if metric.states is not None:
        return metric.states.get(value) if type(value) is int else None
    if type(value) is not str or len(value) > TEXT_BYTES_MAX:
        return None
    if value.isascii():
        return value
    try:
        return value if len(value.encode()) <= TEXT_BYTES_MAX else None
    except UnicodeEncodeError:
        return None


def _bytes(metric: Metric, value: Any) -> Value:
    return value if type(value) is bytes and len(value) <= TEXT_BYTES_MAX else None


def _reason(metric: Metric, value: Any) -> int:
    """Why a value was refused, as a StatusCode."""
    if isinstance(value, str | bytes) and len(value) > TEXT_BYTES_MAX // 4:
        return BAD_ENCODING_LIMITS_EXCEEDED
    expects_number = (
        metric.datatype not in (t.BOOLEAN, t.STRING, t.TEXT, t.BYTES) or metric.states is not None
    )
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return BAD_OUT_OF_RANGE if expects_number and is_number else BAD_TYPE_MISMATCH


_COERCE: dict[int, Callable[[Metric, Any], Value]] = {
    **dict.fromkeys(t.INTEGER_RANGE, _integer),
    t.FLOAT: _float,
    t.DOUBLE: _number,
    t.BOOLEAN: _boolean,
    t.STRING: _text,
    t.TEXT: _text,
    t.BYTES: _bytes,
}

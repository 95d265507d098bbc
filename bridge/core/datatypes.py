"""Sparkplug B datatypes that a metric may have, by name and number (Sparkplug B 3.0, 6.4.16)."""

from __future__ import annotations

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 = range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT = range(9, 15)
BYTES = 17

NUMBER = {
    "Int8": INT8,
    "Int16": INT16,
    "Int32": INT32,
    "Int64": INT64,
    "UInt8": UINT8,
    "UInt16": UINT16,
    "UInt32": UINT32,
    "UInt64": UINT64,
    "Float": FLOAT,
    "Double": DOUBLE,
    "Boolean": BOOLEAN,
    "String": STRING,
    "DateTime": DATETIME,
    "Text": TEXT,
    "Bytes": BYTES,
}
NAME = {number: name for name, number in NUMBER.items()}

BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64, UINT8: 8, UINT16: 16, UINT32: 32, UINT64: 64, DATETIME: 64}
SIGNED = frozenset({INT8, INT16, INT32, INT64})

INTEGER_RANGE = {
    number: (-(1 << bits - 1), (1 << bits - 1) - 1) if number in SIGNED else (0, (1 << bits) - 1)
    for number, bits in BITS.items()
}
"""Smallest and largest value of each integer type."""

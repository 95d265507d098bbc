"""Writes logs as the lab does, one JSON document a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """One line a record. msgspec is ten times as fast as json, but knows no NaN: json has what holds one by itself."""
    encoded = (json.dumps(r).encode() if _has_nan(r) else msgspec.json.encode(r) for r in records)
    path.write_bytes(b"".join(line + b"\n" for line in encoded))


def _has_nan(record: Any) -> bool:
    return any(value != value for value in record)

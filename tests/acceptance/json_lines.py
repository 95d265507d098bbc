"""Writes logs as the lab does, one JSON document a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from operator import ne
from pathlib import Path
from typing import Any

import msgspec


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """One line a record. msgspec is ten times as fast as json, but knows no NaN: json has the file that holds one."""
    records = list(records)
    values = list(chain.from_iterable(records))
    if any(map(ne, values, values)):
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        path.write_bytes(msgspec.json.Encoder().encode_lines(records))

"""Whole numbers as columns: in the narrowest type that holds them, little-endian as every machine here is."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_WIDTHS = (("B", 8), ("H", 16), ("I", 32), ("Q", 64))


def narrow(numbers: Sequence[int]) -> tuple[str, bytes]:
    """Numbers from 0 to 2^64-1, at least one: their type's letter and their bytes."""
    bits = max(numbers).bit_length()
    code = next(code for code, width in _WIDTHS if bits <= width)
    return code, array(code, numbers).tobytes()


def widen(code: str, column: bytes) -> array[int]:
    """The numbers again; raises ValueError."""
    numbers: array[int] = array(code)
    numbers.frombytes(column)
    return numbers

"""Readings to samples: units, states, quality, and everything a server may send that must not get through."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ucumvert import PintUcumRegistry

from shakedown.bridge.core import datatypes as t
from shakedown.bridge.core.model import BAD, GOOD, STALE, Metric, Reading, Sample
from shakedown.bridge.core.normalise import TEXT_BYTES_MAX, is_refused, normalise, quality_of
from shakedown.bridge.core.units import UCUM, UnitError, conversion

NS = 1_767_600_000_123_456_789
MS = 1_767_600_000_123
STATES = Metric(0, "c.a", "state", t.STRING, states={4: "idle", 6: "run"})


def one(kind: int, value: object, status: int = 0, ts_ns: int = NS, **spec: float) -> Sample:
    return normalise(Metric(0, "c.a", "x", kind, **spec), Reading(0, ts_ns, value, status))  # type: ignore[arg-type]


def test_fahrenheit_becomes_celsius_without_rounding() -> None:
    factor, offset = conversion("FAH", "CEL")
    assert (factor, offset) == (5 / 9, -160 / 9)
    assert one(t.DOUBLE, 98.6, factor=factor, offset=offset) == Sample(0, MS, 98.6 * (5 / 9) + -160 / 9)


@pytest.mark.parametrize(
    ("vendor", "canonical", "factor", "offset"),
    [
        ("CEL", "FAH", 1.8, 32.0), ("KEL", "CEL", 1.0, -273.15), ("CEL", "KEL", 1.0, 273.15), ("MIN", "SEC", 60.0, 0.0),
        ("BAR", "KPA", 100.0, 0.0), ("RPM", "HTZ", 1 / 60, 0.0), ("P1", "C62", 0.01, 0.0), ("C16", "MTS", 0.001, 0.0),
        ("2X", "MTS", 1 / 60, 0.0), ("INH", "MMT", 25.4, 0.0), ("H87", "C62", 1.0, 0.0), ("4K", "AMP", 0.001, 0.0),
    ],
)  # fmt: skip
def test_conversions(vendor: str, canonical: str, factor: float, offset: float) -> None:
    assert conversion(vendor, canonical) == (factor, offset)


@pytest.mark.parametrize(
    ("vendor", "canonical"), [("CEL", "KGM"), ("CEL", "XXX"), ("HPA", "PAL"), ("L2", "LTR")]
)
def test_impossible_conversions(vendor: str, canonical: str) -> None:
    with pytest.raises(
        UnitError, match=vendor if vendor in UCUM and canonical in UCUM else "not a UNECE code"
    ):
        conversion(vendor, canonical)


@pytest.mark.parametrize("code", UCUM)
def test_every_unit_of_the_table_converts_to_itself(code: str) -> None:
    assert conversion(code, code) == (1.0, 0.0)


def test_the_table_says_what_pint_says() -> None:
    """Factors, offsets and what converts to what; but for decibels, of which pint makes 1e97."""
    pint = PintUcumRegistry()
    units = {code: pint.from_ucum(ucum) for code, ucum in UCUM.items() if code != "2N"}
    for code, unit in units.items():
        same = {other for other, found in units.items() if found.dimensionality == unit.dimensionality}
        for other in units:
            if other not in same:
                with pytest.raises(UnitError, match="does not convert"):
                    conversion(code, other)
        kin = next(iter(same))
        factor, offset = conversion(code, kin)
        for number in (0.0, 1000.0):
            scaled = pint.Quantity(number * unit.magnitude, unit.units).to(units[kin].units)
            expected = scaled.magnitude / units[kin].magnitude
            assert number * factor + offset == pytest.approx(expected, rel=1e-12), (code, kin)


def test_states_are_mapped_and_unknown_ones_are_bad() -> None:
    assert normalise(STATES, Reading(0, NS, 6, 0)) == Sample(0, MS, "run")
    for value in (7, "6", 6.0, True, None):
        sample = normalise(STATES, Reading(0, NS, value, 0))
        assert (sample.value, sample.quality) == (None, BAD)
        assert sample.status >> 31


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        (0x00000000, GOOD), (0x00000480, GOOD), (0x40000000, GOOD), (0x40920000, GOOD), (0x40900000, STALE),
        (0x40900480, STALE), (0x408F0000, STALE), (0x80000000, BAD), (0x80310000, BAD), (0xC0000000, BAD),
    ],
)  # fmt: skip
def test_quality_of_a_status(status: int, quality: int) -> None:
    assert quality_of(status) == quality
    sample = one(t.DOUBLE, 1.0, status)
    assert (sample.value, sample.quality) == (1.0, quality)
    assert sample.status == (status if status >> 30 else 0)


def test_a_bad_value_without_content_is_null() -> None:
    assert one(t.DOUBLE, None, 0x80310000) == Sample(0, MS, None, BAD, 0x80310000)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (t.DOUBLE, math.nan), (t.DOUBLE, math.inf), (t.DOUBLE, "1"), (t.DOUBLE, True), (t.DOUBLE, None),
        (t.DOUBLE, 10**400), (t.DOUBLE, b"1"), (t.DOUBLE, [1.0]), (t.FLOAT, 1e39), (t.FLOAT, -math.inf),
        (t.INT8, 128), (t.INT8, -129), (t.UINT8, -1), (t.UINT64, 1 << 64), (t.INT32, 1.5), (t.INT32, math.nan),
        (t.INT32, True), (t.INT32, "5"), (t.BOOLEAN, 1), (t.BOOLEAN, "true"), (t.STRING, 5), (t.STRING, "\ud800"),
        (t.STRING, "x" * (TEXT_BYTES_MAX + 1)), (t.STRING, "ü" * TEXT_BYTES_MAX), (t.BYTES, "x"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_bad_and_null_and_counted(kind: int, value: object) -> None:
    sample = one(kind, value)
    assert (sample.value, sample.quality, sample.ts_ms) == (None, BAD, MS)
    assert sample.status >> 31
    assert is_refused(Reading(0, NS, value, 0), sample)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (t.DOUBLE, 5, 5.0), (t.INT32, 5.0, 5), (t.INT64, -(1 << 63), -(1 << 63)), (t.STRING, "ü", "ü"),
        (t.BOOLEAN, False, False),
    ],
)  # fmt: skip
def test_what_fits(kind: int, value: object, expected: object) -> None:
    sample = one(kind, value)
    assert sample == Sample(0, MS, expected)  # type: ignore[arg-type]
    assert type(sample.value) is type(expected)


@pytest.mark.parametrize("ts_ns", [0, -11_644_473_600 * 10**9, 5, 1 << 80, 8_000_000_000 * 10**9])
def test_implausible_clocks_are_bad_but_keep_their_value(ts_ns: int) -> None:
    sample = one(t.DOUBLE, 1.5, ts_ns=ts_ns)
    assert (sample.value, sample.quality, sample.status) == (1.5, BAD, 0x80230000)
    assert 0 <= sample.ts_ms < 1 << 63


def test_an_overflowing_conversion_is_bad() -> None:
    assert one(t.DOUBLE, 1e308, factor=10.0).quality == BAD


@given(
    st.sampled_from(list(t.NUMBER.values())),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    st.integers(0, (1 << 32) - 1),
    st.integers(-(1 << 70), 1 << 70),
)
def test_nothing_raises_and_everything_can_be_encoded(
    kind: int, value: object, status: int, ts_ns: int
) -> None:
    from shakedown.bridge.core import payload

    spec = Metric(0, "c.a", "x", kind, factor=1.8, offset=32.0)
    sample = normalise(spec, Reading(0, ts_ns, value, status))  # type: ignore[arg-type]
    message = payload.Payload()
    message.ParseFromString(payload.Encoder([spec]).data(1, 0, [(sample, False)]))
    assert sample.quality in (GOOD, BAD, STALE)
    assert message.metrics[0].timestamp == sample.ts_ms

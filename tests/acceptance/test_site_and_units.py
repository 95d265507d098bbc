"""What the judge expects of a raw value: its own units, states, qualities and tolerances."""

from __future__ import annotations

import math

import pytest

from shakedown.acceptance.files import read_yaml
from shakedown.acceptance.site import FLOAT_TOLERANCE, Topic, quality_of
from shakedown.acceptance.units import UNITS, UnknownUnit, conversion


@pytest.mark.parametrize(
    ("source", "target", "raw", "expected"),
    [
        ("FAH", "CEL", 212.0, 100.0),
        ("FAH", "CEL", -40.0, -40.0),
        ("FAH", "KEL", 32.0, 273.15),
        ("KEL", "CEL", 0.0, -273.15),
        ("PS", "BAR", 1.0, 0.0689475729316836),
        ("BAR", "PAL", 1.0, 100_000.0),
        ("MBR", "KPA", 10.0, 1.0),
        ("P1", "C62", 5.0, 0.05),
        ("MIN", "SEC", 1.5, 90.0),
        ("C26", "SEC", 250.0, 0.25),
        ("INH", "MMT", 1.0, 25.4),
        ("FOT", "MTR", 1.0, 0.3048),
        ("2X", "C16", 60.0, 1000.0),
        ("FR", "MTS", 1.0, 0.00508),
        ("LBR", "KGM", 1.0, 0.45359237),
        ("GLL", "LTR", 1.0, 3.785411784),
        ("L2", "MQH", 1000.0, 60.0),
        ("KWH", "JOU", 1.0, 3.6e6),
        ("4K", "AMP", 20.0, 0.02),
        ("RPM", "HTZ", 60.0, 1.0),
        ("CEL", "CEL", 1.25, 1.25),
    ],
)
def test_conversions_by_hand(source: str, target: str, raw: float, expected: float) -> None:
    factor, offset = conversion(source, target)
    assert raw * factor + offset == pytest.approx(expected, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("code", sorted(UNITS))
def test_there_and_back(code: str) -> None:
    for other, scale in UNITS.items():
        if scale[0] == UNITS[code][0]:
            there, back = conversion(code, other), conversion(other, code)
            assert (7.0 * there[0] + there[1]) * back[0] + back[1] == pytest.approx(7.0, rel=1e-9)


@pytest.mark.parametrize(
    ("source", "target"), [("HPA", "PAL"), ("CEL", "BAR"), ("CEL", "nonsense"), ("KGM", "NEW")]
)
def test_what_cannot_be_converted_is_refused(source: str, target: str) -> None:
    with pytest.raises(UnknownUnit):
        conversion(source, target)


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        (0x00000000, 192),
        (0x00000480, 192),  # overflow bit: good
        (0x40900000, 500),  # UncertainLastUsableValue
        (0x408F0000, 500),  # UncertainNoCommunicationLastUsableValue
        (0x40000000, 192),
        (0x40930000, 192),
        (0x80000000, 0),
        (0x808B0000, 0),
        (0xC0000000, 0),
    ],
)
def test_quality_of_a_status_code(status: int, quality: int) -> None:
    assert quality_of(status) == quality


def _topic(datatype: str, **more) -> Topic:
    return Topic("filler.filler_1", "metric", 0, datatype, **more)


@pytest.mark.parametrize(
    ("topic", "expected", "received", "same"),
    [
        (_topic("Double"), 21.3, 21.3, True),
        (_topic("Double"), 21.3, 21.3 * (1 + 1e-12), True),
        (_topic("Double"), 21.3, 21.3 * (1 + 1e-7), False),
        (_topic("Double"), 0.0, 1e-13, False),
        (_topic("Double", offset=-17.7), 0.0, 1e-13, True),
        (_topic("Double"), 5, 5.0, True),
        (_topic("Double"), True, "1", False),
        (_topic("Float", tolerance=FLOAT_TOLERANCE), 21.3, 21.299999237060547, True),
        (_topic("Float", tolerance=FLOAT_TOLERANCE), 21.3, 21.30001, False),
        (_topic("UInt32"), 5, 5, True),
        (_topic("UInt32"), 5, 6, False),
        (_topic("UInt32"), 5, True, False),
        (_topic("Int32"), 5.4, 5, True),
        (_topic("Int32"), 5.4, 6, True),
        (_topic("Int32"), 5.4, 7, False),
        (_topic("Boolean"), 1, True, True),
        (_topic("Boolean"), True, 1, False),
        (_topic("String"), "run", "run", True),
        (_topic("String"), "run", "Run", False),
        (_topic("Double"), math.nan, math.nan, True),
        (_topic("Double"), math.nan, None, True),
        (_topic("Double"), math.inf, math.inf, True),
        (_topic("Double"), math.inf, None, True),
        (_topic("Double"), math.nan, 0.0, False),
        (_topic("Double"), 1.0, None, False),
        (_topic("Double"), "text", None, True),
        (_topic("String", states={6: "run"}), 77, None, True),
        (_topic("String", states={6: "run"}), "run", None, False),
    ],
)
def test_what_counts_as_the_same_value(topic: Topic, expected, received, same: bool) -> None:
    assert topic.same(expected, received, 192) is same


def test_a_bad_value_may_come_without_one() -> None:
    assert _topic("Double").same(1.0, None, 0)


def test_states_are_mapped_and_numbers_converted() -> None:
    assert _topic("String", states={6: "run"}).expect(6, 0) == ("run", 192)
    assert _topic("Double", factor=2.0, offset=1.0).expect(3, 0x40900000) == (7.0, 500)
    assert _topic("Double", factor=2.0).expect(None, 0x80000000) == (None, 0)
    assert _topic("Double", factor=2.0).expect(True, 0) == (True, 192)


def test_yaml_is_read_as_yaml_1_2(tmp_path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("a: off\nb: no\nc: 22:30\nd: 010\ne: 0x10\nf: 1e3\ng: true\nh: ~\ni: {6: on}\n")
    expected = {
        "a": "off",
        "b": "no",
        "c": "22:30",
        "d": 10,
        "e": 16,
        "f": 1000.0,
        "g": True,
        "h": None,
        "i": {6: "on"},
    }
    assert read_yaml(path, []) == expected


def test_hostile_yaml_is_a_problem_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "site.yaml"
    bomb = "a0: &a0 [lol, lol]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 12))
    said = {
        "!!python/object/apply:os.system [ls]": "constructor",
        "[" * 20_000: "nested deeper than 50 levels",
        "a: *x": "undefined alias",
        "? [a]\n: 1\n? {b: c}\n: 2": "unhashable",
        bomb: "more than 500,000 values, with what aliases repeat",
        "a: &a [*a]": "the anchor a contains itself",
        "#" * (16 << 20) + "\na: 1": "more than 16,777,216 bytes",
    }
    for text, what in said.items():
        path.write_text(text)
        problems: list = []
        assert read_yaml(path, problems) is None
        assert len(problems) == 1
        assert what in problems[0].what
    path.write_text("a: &a {b: 1}\nc: [*a, *a]\n")
    assert read_yaml(path, []) == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}

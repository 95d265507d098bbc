"""Plain JSON as bridges really publish it, and what is refused."""

import json

import pytest
from pydantic import ValidationError

from shakedown.twin.enterprise.json_mapping import JsonMapping, JsonReader, KnownMetric

METRICS = [
    KnownMetric("filler.filler_1", "level", "ns=2;s=LT1", "Double"),
    KnownMetric("filler.filler_1", "total", "ns=2;s=TOT", "UInt32"),
]
NOW_NS = 1_700_000_000_123_456_789


def read(mapping, topic, document):
    reader = JsonReader(JsonMapping.model_validate(mapping), METRICS)
    assert reader.is_mapped(topic)
    return reader.rows(topic, json.dumps(document).encode(), NOW_NS)


def row(metric, ts_ms, value, quality=192):
    return ("filler.filler_1", metric, ts_ms, value, quality, False, "data")


SHAPES = {
    "names in the topic": (
        {"topic": "plant/{device}/{metric}", "value": "v", "timestamp": {"path": "t", "unit": "s"}},
        "plant/filler.filler_1/level",
        {"v": 3, "t": 1_700_000_000.5},
        [row("level", 1_700_000_000_500, 3.0)],
    ),
    "a list of items (Telegraf in batches)": (
        {"topic": "telegraf", "value": "metrics[].fields.value", "node": "metrics[].tags.id",
         "timestamp": {"path": "metrics[].timestamp", "unit": "ns"},
         "quality": {"path": "metrics[].fields.Quality", "good": ["OK (0x0)"]}},
        "telegraf",
        {"metrics": [
            {"fields": {"value": 1.5, "Quality": "OK (0x0)"}, "tags": {"id": "ns=2;s=LT1"}, "timestamp": 7_000_000},
            {"fields": {"value": None, "Quality": "Bad"}, "tags": {"id": "ns=2;s=TOT"}, "timestamp": 9_000_000},
        ]},
        [row("level", 7, 1.5), row("total", 9, None, 0)],
    ),
    "names as keys (thingsboard)": (
        {"topic": "v1/gateway/telemetry", "value": "{device}[].values.{metric}",
         "timestamp": {"path": "{device}[].ts"}},
        "v1/gateway/telemetry",
        {"filler.filler_1": [{"ts": 5, "values": {"level": 1, "total": 2.0}}, {"ts": 6, "values": {"total": 3}}]},
        [row("level", 5, 1.0), row("total", 5, 2), row("total", 6, 3)],
    ),
    "a bare value, stamped on arrival": (
        {"topic": "{device}/{metric}", "value": ""},
        "filler.filler_1/total", 4, [row("total", NOW_NS // 1_000_000, 4)],
    ),
    "ISO 8601": (
        {"topic": "x/{node}", "value": "v", "timestamp": {"path": "at", "unit": "iso8601"}},
        "x/ns=2;s=TOT", {"v": 1, "at": "2026-11-26T10:00:00.250+01:00"}, [row("total", 1795683600250, 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_declared_shape_gives_the_rows_of_a_primary_host(shape):
    mapping, topic, document, expected = SHAPES[shape]
    assert read(mapping, topic, document) == expected


@pytest.mark.parametrize(
    ("mapping", "document", "why"),
    [
        ({}, {"v": {"deep": 1}}, "neither number, text"),
        ({}, {"w": 1}, "nothing at v"),
        ({}, [1], "nothing at v"),
        ({"timestamp": {"path": "t"}}, {"v": 1}, "no t"),
        ({"timestamp": {"path": "t"}}, {"v": 1, "t": True}, "not a number"),
        ({"timestamp": {"path": "t", "unit": "iso8601"}}, {"v": 1, "t": "2026-11-26T10:00:00"}, "no time zone"),
        ({"timestamp": {"path": "t", "unit": "iso8601"}}, {"v": 1, "t": "soon"}, "isoformat"),
        ({"node": "n"}, {"v": 1, "n": "ns=2;s=NOBODY"}, "nobody expects"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_mapping_is_refused_with_the_reason(mapping, document, why):
    topic = "x/y" if "node" in mapping else "x/filler.filler_1/level"
    declared = {"topic": "x/y" if "node" in mapping else "x/{device}/{metric}", "value": "v"} | mapping
    with pytest.raises(ValueError, match=why):
        read(declared, topic, document)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 5000])
def test_what_is_not_json_is_refused(payload):
    reader = JsonReader(JsonMapping(topic="x/{node}", value="v"), METRICS)
    with pytest.raises((ValueError, RecursionError)):
        reader.rows("x/ns=2;s=TOT", payload, NOW_NS)


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ({"topic": "plant/{metric}", "value": "v"}, "neither"),
        ({"topic": "plant/+/{node}", "value": "v"}, "level"),
        ({"topic": "{node}", "value": "a..b"}, "not a path"),
        ({"topic": "{node}", "value": "{tag}"}, "not a path"),
    ],
)
def test_a_mapping_that_identifies_nothing_is_refused(mapping, why):
    with pytest.raises(ValidationError, match=why):
        JsonMapping.model_validate(mapping)

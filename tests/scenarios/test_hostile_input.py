"""A hostile publisher at the enterprise broker: nothing crashes, it is counted, the bridge is not blamed."""

import asyncio
import random

import aiomqtt
import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.parts.part import TaskPart
from shakedown.scenarios.runner import Request, accept

QUIET = Console(file=open("/dev/null", "w"))  # noqa: SIM115 (for the life of the process)
START_S, PAUSE_S = 15, 0.2
METRICS = 100_000


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def many_metrics(count):
    """A Sparkplug payload of `count` metrics {name "a", datatype Int32, value i}, written by hand."""
    metrics = [b"\x0a\x01a\x20\x03\x50" + varint(i) for i in range(count)]
    return b"\x08\x01" + b"".join(b"\x12" + varint(len(m)) + m for m in metrics) + b"\x18\x00"


def attacks(site, rng):
    """Topic and payload of each message."""
    edge, foreign = f"{site.group_id}/{{}}/{site.line}", f"{site.group_id}/{{}}/stranger"
    garbage = [rng.randbytes(n) for n in (0, 1, 2, 17, 300, 5_000)]
    big = many_metrics(METRICS)
    garbage += [
        many_metrics(1_000)[:-3],
        big[:1_000],
        b"\x12" * 2_000,
        b"\xff" * 2_000,
        b"\x12\xff\xff\xff\xff\x0f",
    ]
    for payload in garbage:
        for kind in ("NBIRTH", "NDATA", "NDEATH", "DBIRTH/x", "DDATA/x", "DDEATH/x", "NONSENSE"):
            name, _, device = kind.partition("/")
            yield "spBv1.0/" + foreign.format(name) + (f"/{device}" if device else ""), payload
        for kind in ("NCMD", "DCMD/x"):
            name, _, device = kind.partition("/")
            yield "spBv1.0/" + edge.format(name) + (f"/{device}" if device else ""), payload
        yield "spBv1.0/STATE/other_host", payload
        yield "spBv1.0/a", payload
        yield "spBv1.0/" + "/".join("x" * 8) + "/" + "y" * 3_000, payload
    yield "spBv1.0/" + foreign.format("NBIRTH"), big
    yield "spBv1.0/" + foreign.format("NDATA"), big
    yield "spBv1.0/" + foreign.format("NDATA"), big[:-3]


class Intruder(TaskPart):
    """A kind of part of somebody's own: it publishes what nobody should."""

    kind = "intruder"
    what = "a hostile publisher"
    begins_with_line = True
    sent = 0

    async def run(self):
        await asyncio.sleep(START_S)
        broker = self.ground.parts["broker"]
        (setup,) = self.ground.setups.values()
        async with aiomqtt.Client(*await self.dial(broker), identifier="intruder") as client:
            for topic, payload in attacks(setup.site, random.Random(7)):
                await client.publish(topic, payload, qos=self.sent % 2)
                type(self).sent += 1
                await asyncio.sleep(PAUSE_S)
        await asyncio.Event().wait()


@pytest.fixture
def verdict(tmp_path, monkeypatch, plugged_in):
    plugged_in("shakedown.parts", intruder=f"{__name__}:Intruder")
    monkeypatch.setattr(Intruder, "sent", 0)
    document = yaml.safe_load(model.find("wan_outage_fast").read_text())
    document["parts"] = {"intruder": {"kind": "intruder", "zone": "enterprise", "dials": ["broker"]}}
    (tmp_path / "hostile.yaml").write_text(yaml.safe_dump(document))
    setup = model.shortened(model.set_up(tmp_path / "hostile.yaml"), 60)
    return accept(Request(setup, tmp_path / "run"), QUIET).verdict


@pytest.mark.slow
def test_a_hostile_publisher_is_counted_and_the_bridge_is_not_blamed(verdict):
    assert Intruder.sent > 100
    assert verdict.harness == []
    assert verdict.verdict in ("PASS", "INCONCLUSIVE")  # a minute is short for a promise
    assert [c.name for c in verdict.criteria if c.verdict == "FAIL"] == []
    assert verdict.malformed["payloads"] > 30
    assert verdict.counts["lost"] == verdict.counts["wrong"] == verdict.counts["unexpected"] == 0
    assert verdict.counts["ok"] > 1_000

"""What bridges are known to lose is what the judge finds lost, and nothing else: in virtual time, to the sample."""

import io

import pytest
import yaml
from rich.console import Console

from shakedown.acceptance.join import NEVER, join
from shakedown.acceptance.run import load_run
from shakedown.scenarios import model
from shakedown.scenarios.bridges.choice import choose
from shakedown.scenarios.runner import Request, accept

MODULE = """
import asyncio, json
import aiomqtt
from asyncua import Client


class Memory:
    \"\"\"Keeps in memory what the broker does not take.\"\"\"

    promises = {
        "protocol": "json", "values": "vendor", "store_and_forward": "memory",
        "json": {
            "topic": "t/{node}", "value": "v", "timestamp": {"path": "ts"}, "quality": {"path": "good", "good": ["yes"]}
        },
    }
    keeps = True

    def __init__(self, fields):
        self.fields, self.waiting, self.connected = fields, asyncio.Queue(), False

    def datachange_notification(self, node, value, data):
        source = data.monitored_item.Value
        if source.SourceTimestamp is None or not (self.connected or self.keeps):
            return
        epoch = source.SourceTimestamp.__class__(1970, 1, 1)
        ts = round((source.SourceTimestamp.replace(tzinfo=None) - epoch).total_seconds() * 1000)
        good = "yes" if source.StatusCode.is_good() else "no"
        self.waiting.put_nowait((node.nodeid.to_string(), {"v": value, "ts": ts, "good": good}))

    async def run(self):
        async with Client(self.fields.opcua.endpoint, timeout=10) as opcua:
            subscription = await opcua.create_subscription(200, self)
            nodes = [opcua.get_node(metric.node) for metric in self.fields.metrics]
            await subscription.subscribe_data_change(nodes, queuesize=100)
            while True:
                try:
                    await self.publish()
                except aiomqtt.MqttError:
                    self.connected = False
                    await asyncio.sleep(1)

    async def publish(self):
        mqtt = self.fields.mqtt
        async with aiomqtt.Client(mqtt.host, mqtt.port, keepalive=mqtt.keep_alive_s) as broker:
            self.connected = True
            while True:
                node, payload = await self.waiting.get()
                await broker.publish(f"t/{node}", json.dumps(payload))


class Nothing(Memory):
    \"\"\"Keeps nothing.\"\"\"

    promises = Memory.promises | {"store_and_forward": "none"}
    keeps = False
"""
CUT = {"id": "cut", "kind": "down", "target": "wan", "at_s": 20, "for_s": 20}


@pytest.fixture
def losses(tmp_path, monkeypatch):
    """Runs a bridge through faults; seconds after the start of what was lost, and how many samples each second had."""
    (tmp_path / "losing_bridge_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)

    def run(name, faults):
        scenario = {
            "name": "drill",
            "title": "A drill",
            "overlays": ["stepping"],
            "warm_up_s": 10,
            "duration_s": 60,
        }
        (tmp_path / "drill.yaml").write_text(yaml.safe_dump(scenario | {"drain_s": 90, "faults": faults}))
        request = Request(
            model.set_up(tmp_path / "drill.yaml"),
            tmp_path / "run",
            bridge=choose(f"python:losing_bridge_of_a_test:{name}"),
        )
        outcome = accept(request, Console(file=io.StringIO()))
        assert outcome.verdict.harness == []
        loaded = load_run(outcome.folder)
        lost = []
        for part in join(loaded).topics:
            never = (part.received_ns == NEVER) & part.eligible
            lost += [(ns - outcome.facts["start_ns"]) / 1e9 for ns in part.ns[never].tolist()]
        return sorted(lost), outcome.verdict.counts

    return run


def test_without_store_and_forward_what_was_offered_in_the_cut_is_lost_and_nothing_else(losses):
    lost, counts = losses("Nothing", [CUT])
    assert 20 - 1 < lost[0] < 20 + 2  # a scan, and a publishing interval, before it was noticed
    assert 40 - 2 < lost[-1] < 40 + 5  # the pause between two attempts, and the way back
    assert 18 * 69 < len(lost) == counts["lost"] < 26 * 69
    assert (counts["wrong"], counts["unexpected"], counts["duplicated"]) == (0, 0, 0)


@pytest.mark.slow
def test_with_memory_a_cut_loses_nothing_but_what_was_on_its_way(losses):
    lost, _ = losses("Memory", [CUT])
    assert len(lost) <= 1  # the one publish that the cut interrupts


@pytest.mark.slow
def test_what_was_kept_in_memory_is_lost_with_the_kill(losses):
    kill = {"id": "kill", "kind": "crash", "target": "bridge", "at_s": 30, "for_s": 2}
    lost, _ = losses("Memory", [CUT, kill])
    assert 20 - 1 < lost[0] < 20 + 2
    assert 30 < lost[-1] < 32 + 2
    assert 10 * 69 < len(lost) < 14 * 69

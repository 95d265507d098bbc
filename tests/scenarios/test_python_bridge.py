"""A bridge of somebody else's in Python runs on the virtual clock, is judged, and is repeated byte for byte."""

import importlib
import io

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.bridges.choice import choose
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.replay import replay
from shakedown.scenarios.runner import Request, accept

MODULE = """
import asyncio, json
import aiomqtt
from asyncua import Client


class Tiny:
    promises = {
        "protocol": "json", "values": "vendor",
        "json": {
            "topic": "t/{node}", "value": "v", "timestamp": {"path": "ts"}, "quality": {"path": "good", "good": ["yes"]}
        },
    }

    def __init__(self, fields):
        self.fields = fields
        self.queue = asyncio.Queue()

    def datachange_notification(self, node, value, data):
        self.queue.put_nowait((node.nodeid.to_string(), data.monitored_item.Value))

    async def run(self):
        async with (
            Client(self.fields.opcua.endpoint, timeout=10) as opcua,
            aiomqtt.Client(self.fields.mqtt.host, self.fields.mqtt.port) as broker,
        ):
            subscription = await opcua.create_subscription(200, self)
            nodes = [opcua.get_node(metric.node) for metric in self.fields.metrics]
            await subscription.subscribe_data_change(nodes, queuesize=100)
            while True:
                node, data = await self.queue.get()
                if data.SourceTimestamp is None:
                    continue
                stamp = data.SourceTimestamp.timestamp() if data.SourceTimestamp.tzinfo else (
                    data.SourceTimestamp - data.SourceTimestamp.__class__(1970, 1, 1)).total_seconds()
                payload = {"v": data.Value.Value if data.Value else None, "ts": round(stamp * 1000),
                           "good": "yes" if data.StatusCode.is_good() else "no"}
                await broker.publish(f"t/{node}", json.dumps(payload))
"""


CALM = {"name": "calm", "title": "Calm", "warm_up_s": 5, "duration_s": 30, "drain_s": 5}


@pytest.fixture
def setup(tmp_path, monkeypatch):
    (tmp_path / "tiny_bridge_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calm.yaml").write_text(yaml.safe_dump(CALM))
    return model.set_up(tmp_path / "calm.yaml")


def test_a_bridge_in_python_is_judged_in_virtual_time_and_replayed(setup, tmp_path):
    bridge = choose("python:tiny_bridge_of_a_test:Tiny")
    console = Console(file=io.StringIO())
    outcome = accept(Request(setup, tmp_path / "run", bridge=bridge, named="calm.yaml"), console)
    counts = outcome.verdict.counts
    assert outcome.verdict.harness == []
    assert counts["eligible"] > 1000
    assert {name: counts[name] for name in ("lost", "wrong", "unexpected", "duplicated")} == {
        "lost": 0, "wrong": 0, "unexpected": 0, "duplicated": 0,
    }  # fmt: skip
    again = "`shakedown accept calm.yaml --seed 0 --bridge python:tiny_bridge_of_a_test:Tiny`"
    assert again in (outcome.folder / "summary.md").read_text()
    assert replay(outcome.folder, console).same


FALLS = """
import asyncio
import logging

log = logging.getLogger(__name__)


def never_made(fields):
    return fields.no_such_field


class Falls:
    def __init__(self, fields):
        pass

    async def run(self):
        log.info("on its way")
        await asyncio.sleep(10)
        raise RuntimeError("over its own feet")
"""


def test_what_a_bridge_in_python_logs_and_dies_of_is_in_its_log(setup, tmp_path, caplog):
    (tmp_path / "falling_bridge_of_a_test.py").write_text(FALLS)
    bridge = choose("python:falling_bridge_of_a_test:Falls")
    outcome = accept(Request(setup, tmp_path / "run", bridge=bridge), Console(file=io.StringIO()))
    ended = outcome.verdict.criterion("bridge_ran")
    assert ended.verdict == "FAIL"
    log = (outcome.folder / "bridge.log").read_text()
    assert "on its way" in log
    assert "falling_bridge_of_a_test.py" in log
    assert log.splitlines()[-1] == "RuntimeError: over its own feet"
    assert "over its own feet" in str(ended.figures)
    assert caplog.records == []  # and nothing of the run in the log of whoever runs it


def test_a_factory_that_raises_is_refused_with_its_place_and_leaves_nothing(setup, tmp_path):
    (tmp_path / "unmade_bridge_of_a_test.py").write_text(FALLS)
    bridge = choose("python:unmade_bridge_of_a_test:never_made")
    with pytest.raises(UsageError, match=r"raised AttributeError: .*unmade_bridge_of_a_test\.py:9"):
        accept(Request(setup, tmp_path / "run", bridge=bridge), Console(file=io.StringIO()))
    assert not list(tmp_path.glob("run*"))


STAYS = """
import asyncio

lives = []


class Stays:
    def __init__(self, fields):
        lives.append([])

    async def tick(self, life):
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass
            life.append(len(lives))

    async def run(self):
        self.hidden = asyncio.create_task(self.tick(lives[-1]))
        await self.tick([])


class Leaves(Stays):
    async def run(self):
        await asyncio.sleep(34.7)  # in the last second of the run
        raise SystemExit(3)
"""


def test_a_bridge_in_python_that_ignores_its_end_fails_and_nothing_of_it_lives_on(setup, tmp_path):
    (tmp_path / "staying_bridge_of_a_test.py").write_text(STAYS)
    kill = {"id": "kill", "kind": "crash", "target": "bridge", "at_s": 10, "for_s": 5}
    (tmp_path / "calm.yaml").write_text(yaml.safe_dump(CALM | {"faults": [kill]}))
    bridge = choose("python:staying_bridge_of_a_test:Stays")
    setup = model.set_up(tmp_path / "calm.yaml")
    outcome = accept(Request(setup, tmp_path / "run", bridge=bridge), Console(file=io.StringIO()))
    ended = outcome.verdict.criterion("bridge_ran")
    assert (ended.verdict, ended.figures.ended) == ("FAIL", "it did not end within 15 s of being cancelled")
    first, second = importlib.import_module("staying_bridge_of_a_test").lives
    assert set(first) == {1}  # nothing of the first life beside the second
    assert set(second) == {2}


def test_a_bridge_that_ends_in_the_last_second_of_the_drain_is_seen_to_end(setup, tmp_path):
    (tmp_path / "leaving_bridge_of_a_test.py").write_text(STAYS)
    bridge = choose("python:leaving_bridge_of_a_test:Leaves")
    outcome = accept(Request(setup, tmp_path / "run", bridge=bridge), Console(file=io.StringIO()))
    ended = outcome.verdict.criterion("bridge_ran")
    assert (ended.verdict, ended.figures.ended) == ("FAIL", "RuntimeError('it called sys.exit(3)')")

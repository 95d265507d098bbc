"""docs/cmms.md says what the code does: its table of paths, its bounds, its configuration of another CMMS."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from shakedown.bridge.operations_config import CmmsConfig, unknown_fields
from shakedown.twin.enterprise import http_server
from shakedown.twin.enterprise.cmms import api, failures, model, store, webhooks
from shakedown.twin.enterprise.people.auditor import AuditorParameters
from shakedown.twin.enterprise.people.crew import CrewParameters

PAGE = (Path(__file__).parents[2] / "docs/cmms.md").read_text()


def test_the_table_holds_exactly_the_operations(tmp_path: Path) -> None:
    told = {
        (method, path)
        for methods, path in re.findall(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \|", PAGE, re.MULTILINE)
        for method in methods.split(", ")
    }
    memory = store.Store(tmp_path / "cmms.sqlite")
    served = api.CmmsApi(memory, failures.FailureSwitch(), lambda: None).operations
    memory.close()
    assert told == {(operation.method, operation.path) for operation in served}


def test_the_other_cmms_is_a_configuration_that_the_bridge_takes() -> None:
    block = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "generic" in block)
    config = CmmsConfig.model_validate(yaml.safe_load(block)["cmms"])
    assert config.generic is not None
    for call in (config.generic.asset, config.generic.find, config.generic.create, config.generic.follow):
        assert call is not None
        assert unknown_fields(call) == []
    assert set(config.generic.states.values()) == set(model.STATES)


def test_the_bounds_are_those_of_the_code() -> None:
    crew, auditor = CrewParameters(), AuditorParameters()
    for said in (
        f"Body {api.BODY_BYTES_MAX >> 20} MiB within {api.BODY_TIMEOUT_S:g} s",
        f"attachment {api.ATTACHMENT_BYTES_MAX >> 20} MiB, {store.ATTACHMENTS_MAX} of them",
        f"{store.COMMENTS_MAX:,} comments an order",
        f"{store.WORK_ORDERS_MAX:,} orders, {api.WEBHOOKS_MAX} webhooks",
        f"{http_server.CONNECTIONS_MAX} connections",
        f"last {store.IDEMPOTENCY_KEYS_MAX:,} keys",
        f"pauses of {webhooks.PAUSE_S[0]:g} s to {webhooks.PAUSE_S[1]:g} s, each with {webhooks.ANSWER_TIMEOUT_S:g} s",
        f"finds {api.DELIVERIES_WAITING_MAX:,} waiting",
        f"{failures.HOLD_S_MAX:g} s at most",
        f"looks every {crew.poll_s:g} s",
        f"median {crew.travel_median_s:g} s",
        f"misses {auditor.missed:.1%} of".replace("%", " %"),
        f"watch to {auditor.watch_s:g} s, and writes down no stop under {auditor.shortest_stop_s:g} s",
    ):
        assert said in PAGE, said
    assert webhooks.ATTEMPTS_MAX == 8

"""Which parts a lab has: they follow from each bridge's site.yaml, and a scenario adds to them or places them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import ConfigError, Marks, Path_, did_you_mean
from shakedown.scenarios.parts.table import OURS, kinds
from shakedown.scenarios.scenario import ConduitModel, PartModel, Scenario

BRIDGE = "bridge"
"""The name of the bridge of a scenario that says nothing of bridges."""


@dataclass(frozen=True)
class Plan:
    """A part as it is to be put up, on a host of its own. `port` is what it listens on (0: nothing), `dials` names the
    parts that it connects to and `follows` others that must be there before it. `lines` are the bridges whose line it
    belongs to, `options` what its kind wants to know besides."""

    name: str
    kind: str
    zone: str
    port: int = 0
    dials: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The name of its host, which is its own."""
        return self.name


HOSTS_OF_THE_LAB = ("asks-", "probe-")


def far_host(conduit: str) -> str:
    """The host at which the probe of a conduit is answered."""
    return f"probe-{conduit}-far"


Written = tuple[Marks, Path_]
"""Where something is written: a file, and the path in it."""


def plan(scenario: Scenario, marks: Marks, sites: Mapping[str, tuple[Site, Marks]]) -> dict[str, Plan]:
    """The parts of a run by name, in the order in which they are put up; `sites` are those of its bridges.

    Raises ConfigError with every problem and its place: a name given twice, a kind unknown, a zone that nothing leads
    to, parts that wait for each other, a part that nobody uses.
    """
    planner = _Planner(scenario, marks)
    edges: dict[str, str] = {}
    for bridge, (site, site_marks) in sites.items():
        edge = f"{site.group_id}/{site.line}"
        if (other := edges.setdefault(edge, bridge)) != bridge:
            text = f"bridges {other!r} and {bridge!r} are one edge node, {edge} - give one another line"
            planner.problems.append(site_marks.problem(("line",), text))
        planner.add_line(bridge, site, site_marks)
    planner.add_others()
    ordered = in_order(planner.found.values(), marks)
    planner.check_routes()
    if planner.problems:
        raise ConfigError(planner.problems)
    return {one.name: one for one in ordered}


def in_order(plans: Iterable[Plan], marks: Marks) -> list[Plan]:
    """The same parts, each after those that it needs. Raises ConfigError for parts that wait for each other."""
    by_name = {one.name: one for one in plans}
    found: dict[str, Plan] = {}

    def put(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            circle = " -> ".join((*waiting[waiting.index(name) :], name))
            text = f"parts wait for each other: {circle} - leave one of these out of `dials`"
            raise ConfigError([marks.problem(("parts", name, "dials"), text)])
        if name not in found:
            for other in (*by_name[name].dials, *by_name[name].follows):
                put(other, (*waiting, name))
            found[name] = by_name[name]

    for name in by_name:
        put(name, ())
    return list(found.values())


class _Planner:
    def __init__(self, scenario: Scenario, marks: Marks) -> None:
        self._parts: Mapping[str, PartModel] = scenario.parts
        self._conduits: Mapping[str, ConduitModel] = scenario.network
        self._marks = marks
        self.found: dict[str, Plan] = {}
        self._places: dict[str, Written] = {}
        self.problems: list[str] = []
        joined: dict[frozenset[str], str] = {}
        for name, conduit in self._conduits.items():
            zones = frozenset(conduit.zones or ())
            if len(zones) < 2 or joined.setdefault(zones, name) != name:
                text = "joins a zone to itself" if len(zones) < 2 else f"joins what {joined[zones]!r} joins"
                self._report(
                    (marks, ("network", name)), f"{name!r} {text} - give two zones that no other joins"
                )
            near = (conduit.zones or ("",))[0]
            self._add(
                Plan(f"probe_{name}", "probe", near, options={"conduit": name}), (marks, ("network", name))
            )

    def add_line(self, bridge: str, site: Site, marks: Marks) -> None:
        """The parts that follow from the site.yaml of a bridge."""
        suffix, lines = ("" if bridge == BRIDGE else f"_{bridge}"), (bridge,)
        own = (self._marks, ("parts", bridge) if bridge in self._parts else ())
        target_name, target = next(iter(site.north.items()))
        at_target = ("north", target_name)
        broker, port = target.host_port
        scada = target.primary_host or "scada"  # that it has none is said elsewhere
        there = self._add(
            Plan(broker, "broker", "enterprise", port, lines=lines), (marks, (*at_target, "broker"))
        ).zone
        host = Plan(
            scada, "primary_host", there, 0, (broker,), (), lines, {"keep_alive_s": target.host_keep_alive_s}
        )
        self._add(host, (marks, (*at_target, "primary_host")))
        plcs = tuple(self._add_plcs(bridge, site, marks))
        cmms: tuple[str, ...] = ()
        if site.cmms is not None:
            name, port = site.cmms.host_port
            cmms = (
                self._add(Plan(name, "cmms", "enterprise", port, lines=lines), (marks, ("cmms", "url"))).name,
            )

        def add(kind: str, zone: str, dials: tuple[str, ...] = (), follows: tuple[str, ...] = ()) -> str:
            name = bridge if kind == "bridge" else f"{kind}{suffix}"
            return self._add(Plan(name, kind, zone, 0, dials, follows, lines), own).name

        add("observer", there, (broker,))
        feeds = plcs
        if site.alarms or site.oee or cmms:
            feeds = (*plcs, add("auditor", "enterprise", cmms))
            add("operator", there, (), (scada, feeds[-1]))
        line = add("line", "cell", (), feeds)
        if cmms:
            add("storekeeper", "enterprise", cmms, (line,))
            add("crew", "enterprise", cmms, (line,))
        add("bridge", "site", (*plcs, broker, *cmms), (line,))

    def _add_plcs(self, bridge: str, site: Site, marks: Marks) -> Iterable[str]:
        ports: dict[str, int] = {}
        for name, south in site.south.items():
            host, port = south.endpoint_host, south.endpoint_port
            written = (marks, ("south", name, "endpoint"))
            if host not in ports:
                ports[host] = port
                self._add(Plan(host, "plc", "cell", port, lines=(bridge,)), written)
                yield host
            elif ports[host] != port:
                self._report(
                    written, f"{host!r} has one OPC UA server, on port {ports[host]} - name another host"
                )

    def add_others(self) -> None:
        """The parts that the scenario alone names."""
        known = kinds()
        for name, part in self._parts.items():
            written = (self._marks, ("parts", name))
            if part.kind not in known:
                near = did_you_mean(part.kind, list(known))
                self._report(
                    (self._marks, ("parts", name, "kind")), f"is not a kind of part ({part.kind!r}) - {near}"
                )
            elif name not in self.found and part.kind in OURS:
                near = did_you_mean(name, [one.name for one in self.found.values() if one.kind == part.kind])
                self._report(
                    written, f"no site.yaml names a {part.kind} {name!r}, so nobody would use it - {near}"
                )
            elif name not in self.found:
                self._add(Plan(name, part.kind, part.zone or "enterprise", options=part.options), written)
        for name, part in self._parts.items():
            for other in part.dials:
                if other not in self.found:
                    near = did_you_mean(other, list(self.found))
                    self._report(
                        (self._marks, ("parts", name, "dials")), f"there is no part {other!r} - {near}"
                    )
        for name, one in self.found.items():
            if name in self._parts:
                more = tuple(other for other in self._parts[name].dials if other in self.found)
                self.found[name] = replace(one, dials=tuple(dict.fromkeys((*one.dials, *more))))

    def check_routes(self) -> None:
        """What dials another part must have a way to its zone."""
        zones = {zone for conduit in self._conduits.values() for zone in conduit.zones or ()}
        joined = {frozenset(conduit.zones or ()) for conduit in self._conduits.values()}
        for one in self.found.values():
            if one.zone not in zones:
                text = f"zone {one.zone!r} of {one.name!r} has no conduit - {did_you_mean(one.zone, sorted(zones))}"
                self._report(self._place(one.name, "zone"), f"{text}, or add one to network:")
                continue
            for other in (self.found[name] for name in one.dials):
                if other.zone != one.zone and other.zone in zones and {one.zone, other.zone} not in joined:
                    text = f"{one.name!r} in zone {one.zone!r} dials {other.name!r} in zone {other.zone!r}"
                    self._report(self._place(one.name, "zone"), f"{text}, and no conduit joins them - add one to "
                                 f"network:, such as link: {{zones: [{one.zone}, {other.zone}]}}")  # fmt: skip

    def _place(self, name: str, key: str) -> Written:
        part = self._parts.get(name)
        return (self._marks, ("parts", name, key)) if part and part.zone else self._places[name]

    def _add(self, one: Plan, written: Written) -> Plan:
        """Add a part, where the scenario places it; a broker and a primary host may serve several lines."""
        if one.name.startswith(HOSTS_OF_THE_LAB):
            self._report(written, f"{one.name!r} is a host of the lab itself - rename it")
        placed = self._parts.get(one.name)
        if placed is not None and placed.kind == one.kind:
            asked = placed.model_dump(include={"saves_retained_s"}, exclude_none=True)
            one = replace(one, zone=placed.zone or one.zone, options=one.options | asked)
        elif placed is not None and placed.kind != one.kind:
            text = f"{one.name!r} is the {one.kind} of a site.yaml, and no {placed.kind} - rename one of them"
            self._report((self._marks, ("parts", one.name, "kind")), text)
        before = self.found.get(one.name)
        shared = ("broker", "primary_host")
        if before is not None and before.kind in shared and before == replace(one, lines=before.lines):
            one = replace(before, lines=(*before.lines, *one.lines))
        elif before is not None:
            what = f"a {before.kind} and a {one.kind}"
            if before.kind == one.kind:
                differs = ", of which a site.yaml says otherwise" if one.kind in shared else ""
                what = f"both {one.kind}{differs}"
            self._report(written, f"{one.name!r} is the name of two parts, {what} - rename one of them")
            return before
        self.found[one.name] = one
        self._places[one.name] = written
        return one

    def _report(self, written: Written, text: str) -> None:
        marks, path = written
        self.problems.append(marks.problem(path, text, key=True))

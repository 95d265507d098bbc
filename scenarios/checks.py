"""What a file alone cannot show: whether this lab has what a site needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shakedown.bridge.config import Site
from shakedown.bridge.operations_config import ShiftConfig
from shakedown.bridge.south.config import OpcUaConfig
from shakedown.bridge.yamlfile import ConfigError, Marks, did_you_mean
from shakedown.scenarios.faults import Fault
from shakedown.scenarios.parts.kinds import kind_of
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.scenario import Scenario
from shakedown.twin.line.master_data import Shift
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signals import signals_of

DAY_S = 86_400


def check_site(site: Site, marks: Marks, plant: Plant, is_secure: bool) -> None:
    """Raise ConfigError, every problem with its place, unless the lab can carry this site on this plant."""
    problems = _connections(site, marks, is_secure) + _nodes(site, marks, plant) + _alarms(site, marks, plant)
    problems += _calendar(site, marks, plant)
    if problems:
        raise ConfigError(problems)


def _connections(site: Site, marks: Marks, is_secure: bool) -> list[str]:
    problems = []
    remedy = "write secure: true in the scenario, which then makes its own"
    for name, south in site.south.items():
        if isinstance(south, OpcUaConfig) and south.security != "none" and not is_secure:
            text = f"the lab's OPC UA server has no certificate - {remedy}"
            problems.append(marks.problem(("south", name, "security"), text))
    for name, north in site.north.items():
        place = ("north", name)
        if north.secure and not is_secure:
            text = f"the lab's broker has no certificate - {remedy}"
            problems.append(marks.problem((*place, "broker"), text))
        if not north.primary_host:
            text = "the lab judges by what its primary host holds - give it a name, for instance scada"
            problems.append(marks.problem((*place, "primary_host"), text))
    if site.cmms is not None and site.cmms.url.startswith("https:") and not is_secure:
        text = f"the lab's CMMS has no certificate - {remedy}"
        problems.append(marks.problem(("cmms", "url"), text))
    return problems


def _nodes(site: Site, marks: Marks, plant: Plant) -> list[str]:
    known = [signal.node_id for signal in signals_of(plant)]
    offered = set(known)
    problems = []
    for cell, assets in site.cells.items():
        for asset, config in assets.items():
            for name, metric in config.metrics.items():
                if metric.node not in offered:
                    place = ("cells", cell, asset, "metrics", name, "node")
                    near = did_you_mean(metric.node, known)
                    remedy = near if near.startswith("did you mean") else "give a node of plant.yaml"
                    text = f"plant {plant.plant!r} has no signal {metric.node!r} - {remedy}"
                    problems.append(marks.problem(place, text))
    return problems


def _alarms(site: Site, marks: Marks, plant: Plant) -> list[str]:
    """An alarm by which a failure of the plant should be known, and that nobody has written."""
    if not site.alarms:
        return []
    known = list(site.alarms)
    problems = []
    for machine, spec in plant.machines.items():
        for mode, failure in spec.failures.items():
            for name in failure.alarms:
                if name not in site.alarms:
                    near = did_you_mean(name, known)
                    text = (
                        f"plant {plant.plant!r} tells its failure {machine}.{mode} by {name!r}, and there is no such"
                        f" alarm - write it, or take it from the failure's alarms; {near}"
                    )
                    problems.append(marks.problem(("alarms",), text, key=True))
    return problems


def _calendar(site: Site, marks: Marks, plant: Plant) -> list[str]:
    """A shift of the plant that OEE plans otherwise: every figure of it would be of another shift than the judge's."""
    worked = {shift.name: _as_planned(shift) for shift in plant.calendar}
    problems = []
    for line, config in site.oee.items() if worked else ():
        planned = {shift.name: shift for shift in config.planned}
        for name in worked | planned:
            there = _times_of(worked[name]) if name in worked else "missing"
            here = _times_of(planned[name]) if name in planned else "missing"
            if there != here:
                text = (
                    f"shift {name!r} is {there} in the calendar of plant {plant.plant!r}, and {here} here - plan what"
                    " the line works; here breaks count from the shift's beginning, there from the line's"
                )
                problems.append(marks.problem(("oee", line, "planned"), text))
    return problems


def _as_planned(shift: Shift) -> ShiftConfig:
    """A shift of the plant as a site writes it, which knows one day and breaks within a shift."""
    breaks = [
        {"begins_s": pause.begins_s - shift.begins_s, "lasts_s": pause.lasts_s} for pause in shift.breaks
    ]
    return ShiftConfig.model_validate(
        {"name": shift.name, "begins_s": shift.begins_s % DAY_S, "lasts_s": shift.lasts_s, "breaks": breaks}
    )


def _times_of(shift: ShiftConfig) -> str:
    """The times of a shift, the same for the same times."""
    pauses = sorted((pause.begins_s, pause.lasts_s) for pause in shift.breaks)
    breaks = ", ".join(f"{begins_s:.9g} s for {lasts_s:.9g} s" for begins_s, lasts_s in pauses)
    times = f"from {shift.begins_s:.9g} s for {shift.lasts_s:.9g} s"
    return f"{times} with {f'breaks at {breaks}' if breaks else 'no break'}"


def check_faults(scenario: Scenario, marks: Marks, plans: Mapping[str, Plan]) -> None:
    """Raise ConfigError, every problem with its place, unless each fault has its time and finds what it strikes.

    `plans` are the parts by name; without any (there is something wrong with them) targets are not looked for.
    """
    problems = []
    last: dict[str, Fault] = {}
    names: set[str] = set()
    for index, fault in sorted(enumerate(scenario.faults), key=lambda numbered: numbered[1].at_s):
        misfits = [*_misfits(fault, scenario, last.get(fault.target) if fault.hinders else None, names)]
        if plans:
            misfits += _misses(fault, scenario, plans)
        problems += [marks.problem(("faults", index, key), f"{fault.id!r} {text}") for key, text in misfits]
        names.add(fault.id)
        if fault.hinders:
            last[fault.target] = fault
    if problems:
        raise ConfigError(problems)


def _misfits(
    fault: Fault, scenario: Scenario, before: Fault | None, names: set[str]
) -> Iterator[tuple[str, str]]:
    """Key, and what is wrong with it; `before` hinders the same thing, `names` are those of all faults before."""
    healed_s = fault.at_s + fault.for_s
    if fault.id in names:
        yield "id", "is used twice - give each fault a name of its own"
    if fault.at_s < scenario.warm_up_s:
        yield "at_s", (f"strikes at {fault.at_s:g} s, within the warm-up of {scenario.warm_up_s:g} s - strike later or"
                       " shorten warm_up_s")  # fmt: skip
    if healed_s > scenario.duration_s:
        yield "for_s", (f"is healed at {healed_s:g} s, after the end of the run at {scenario.duration_s:g} s - heal it"
                        " earlier or lengthen duration_s")  # fmt: skip
    if before is not None and fault.at_s <= before.at_s + before.for_s:
        yield "at_s", (f"strikes {fault.target} before {before.id!r} is healed - one thing carries one fault at a time,"
                       " strike later")  # fmt: skip


def _misses(fault: Fault, scenario: Scenario, plans: Mapping[str, Plan]) -> Iterator[tuple[str, str]]:
    """What is wrong with the target of a fault."""
    strikes, what = fault.strikes, f"({fault.kind}) strikes"
    if strikes == "conduit":
        known = list(scenario.network)
    elif strikes == "part":
        known = [plan.name for plan in plans.values() if not kind_of(plan.kind).is_evidence]
    else:
        known = [plan.name for plan in plans.values() if plan.kind == strikes]
    if fault.target in known:
        return
    if fault.target in plans and kind_of(plans[fault.target].kind).is_evidence:
        text = f"{what} the {plans[fault.target].kind}, which is evidence and cannot be struck"
    elif strikes != "conduit" and fault.target in scenario.network:
        text = f"{what} a {strikes}, and {fault.target!r} is a conduit"
    elif strikes == "conduit" and fault.target in plans:
        text = f"{what} a conduit, and {fault.target!r} is a part"
    elif not known:
        text = f"{what} a {strikes}, and this lab has none"
    else:
        text = f"{what} {fault.target!r}, and there is no {strikes} of that name"
    yield "target", f"{text} - {_near(fault.target, known)}"


def _near(name: str, known: list[str]) -> str:
    """A remedy for an unknown name: the nearest one, and all of them."""
    near = did_you_mean(name, known)
    return near if not near.startswith("did you mean") else f"{near} There are: {', '.join(known)}"

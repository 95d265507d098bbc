"""What a file alone cannot show: whether this lab has what a site needs."""

from __future__ import annotations

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import ConfigError, Marks, did_you_mean
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signals import signals_of

LAB_HOSTS = ("bridge", "scada", "judge")


def check_site(site: Site, marks: Marks, plant: Plant) -> None:
    """Raise ConfigError, every problem with its place, unless the lab can carry this site on this plant."""
    problems = _connections(site, marks) + _nodes(site, marks, plant)
    if problems:
        raise ConfigError(problems)


def _connections(site: Site, marks: Marks) -> list[str]:
    problems = []
    if len(site.south) > 1:
        text = f"the lab has one OPC UA server, and here are {len(site.south)} - keep one"
        problems.append(marks.problem(("south",), text, key=True))
    for name, south in site.south.items():
        if south.security != "none":
            text = "the lab's OPC UA server has no certificate - write none, or leave it out"
            problems.append(marks.problem(("south", name, "security"), text))
    for name, north in site.north.items():
        place = ("north", name)
        if north.secure:
            text = "the lab's broker has no certificate - write mqtt://broker:1883"
            problems.append(marks.problem((*place, "broker"), text))
        if not north.primary_host:
            text = "the lab judges by what its primary host holds - give it a name, for instance scada"
            problems.append(marks.problem((*place, "primary_host"), text))
    problems += _host_names(site, marks)
    return problems


def _host_names(site: Site, marks: Marks) -> list[str]:
    souths = {south.endpoint_host for south in site.south.values()}
    names = {("south", name, "endpoint"): south.endpoint_host for name, south in site.south.items()}
    names |= {("north", name, "broker"): north.host_port[0] for name, north in site.north.items()}
    problems = []
    for place, host in names.items():
        if host in LAB_HOSTS or host.startswith("probe-"):
            problems.append(marks.problem(place, f"the lab has a host {host!r} of its own - rename this one"))
        elif place[0] == "north" and host in souths:
            problems.append(marks.problem(place, f"{host!r} is the OPC UA server's host too - rename one"))
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

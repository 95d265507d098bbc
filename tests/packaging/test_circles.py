"""No module leads back to itself by what it imports, be it for type checking only, be it within a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("acceptance", "bridge", "reports", "scenarios", "twin")


def imported(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    """The modules of the project that a module names in any import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else str(node.module) for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def graph() -> dict[str, set[str]]:
    paths = {
        "shakedown." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    return {
        name: (set(imported(ast.parse(path.read_text()), set(paths))) & set(paths)) - {name}
        for name, path in paths.items()
    }


def test_no_module_leads_back_to_itself() -> None:
    imports = graph()
    assert len(imports) > 250
    sorter = TopologicalSorter(imports)
    try:
        sorter.prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' <- '.join(error.args[1])}") from None


def test_an_import_is_seen_wherever_it_stands() -> None:
    text = """
from shakedown.a import b
if TYPE_CHECKING:
    from shakedown.a.c import Name
def function():
    import shakedown.d
"""
    assert set(imported(ast.parse(text), {"shakedown.a.b"})) == {
        "shakedown.a.b",
        "shakedown.a.c",
        "shakedown.d",
    }

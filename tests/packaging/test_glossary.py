"""docs/glossary.md points to what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_place_of_the_glossary_is_there() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    places = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text)
    assert len(places) > 50
    assert [place for place in places if not (ROOT / place).exists()] == []

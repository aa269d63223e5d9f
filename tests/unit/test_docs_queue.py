"""The page of promises names tests and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "queue.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    written = "\n".join(path.read_text() for path in PROJECT.glob("tests/**/test_*.py"))
    exists = set(re.findall(r"^def (test_\w+)", written, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 25
    assert named <= exists


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:catalogue|workers|tests)/[\w/]+\.py)`", PAGE)
    files = [name.replace("catalogue/", "barber/catalogue/") for name in named]
    assert len(files) > 10
    assert [name for name in files if not (PROJECT / name).is_file()] == []

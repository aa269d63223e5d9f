"""docs/conformance.md is what the command wrote of the project's own set, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.conftest import HERE, OWN
from tests.conformance.runner import main
from tests.conformance.vectors import VectorSet

SET = VectorSet(OWN)
PAGE = HERE.parents[1] / "docs" / "conformance.md"


def rows(page: str) -> dict[str, list[str]]:
    """The cells of each array's row by "file:array"."""
    found: dict[str, list[str]] = {}
    file = ""
    for line in page.splitlines():
        if heading := re.fullmatch(r"## (\S+\.npz)", line):
            file = heading[1]
        if row := re.fullmatch(r"\| `(.+?)` \|(.*)\|", line):
            assert f"{file}:{row[1]}" not in found
            found[f"{file}:{row[1]}"] = [cell.strip() for cell in row[2].split(" | ")]
    return found


def test_the_page_lists_exactly_the_arrays_of_the_manifest() -> None:
    listed = rows(PAGE.read_text(encoding="utf-8"))

    assert set(listed) == {f"{file}:{name}" for file in SET.files for name in SET.names(file)}
    for file in SET.files:
        for name in SET.names(file):
            verdict = listed[f"{file}:{name}"][-1]
            wanted = "input" if SET.entry(file, name).is_input else "ok"
            assert verdict.partition(":")[0] == wanted, f"{file}:{name} is {verdict}"


def test_the_page_is_written_by_the_command_with_where_it_was_made(
    few: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = few / "page.md"

    assert main(["--vectors", str(few), "--write", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert rows(text)["masks.npz:dilate_1"] == [
        "dilation by n iterations",
        "equal",
        "exact",
        "ok",
    ]
    for told in ("salt `bs-pub-1`", "python 3", "torch ", "opencv ", "thread", "peak memory"):
        assert told in text
    assert [path.name for path in few.iterdir() if path.suffix == ".part"] == []


def test_a_page_of_a_miss_says_so(few: Path) -> None:
    (few / "masks.npz").unlink()

    assert main(["--vectors", str(few), "--write", str(few / "page.md")]) == 1
    text = (few / "page.md").read_text(encoding="utf-8")
    assert "0 agree, 4 miss" in text
    assert "MISS: masks.npz is missing" in text

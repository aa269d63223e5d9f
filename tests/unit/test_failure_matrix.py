"""docs/failure-matrix.md and the tests that it names belong to each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TABLE = PROJECT / "docs" / "failure-matrix.md"
ROWS = 30


def told() -> set[tuple[int, str]]:
    """Pairs of a row's number and a test that the table names in it."""
    matrix = TABLE.read_text().partition("<!-- recovery -->")[0]  # times have a table of their own
    lines = re.findall(r"^\| (\d+) \|(.+)\|$", matrix, re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, ROWS + 1))
    return {
        (int(number), test)
        for number, line in lines
        for test in re.findall(r"`(test_\w+\.py::test_\w+)`", line)
    }


def marked() -> set[tuple[int, str]]:
    """The same from the marks on the tests."""
    found = set()
    for path in (PROJECT / "tests" / "integration").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                rows = re.findall(r"pytest\.mark\.matrix\((\d+)\)", "\n".join(marks))
                found |= {(int(row), f"{path.name}::{node.name}") for row in rows}
    return found


def test_every_row_names_its_tests_and_every_marked_test_has_its_row() -> None:
    assert told() == marked()


def test_every_row_is_shown_by_a_test() -> None:
    assert {row for row, _ in told()} == set(range(1, ROWS + 1))

"""What the database does for each statement: EXPLAIN (ANALYZE, BUFFERS) in the very transaction.

A statement is explained where it is about to run, in a savepoint that is rolled back, and then runs
as if nobody had looked. So the plan is that of the real parameters and the real state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
EXPLAINABLE = ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")
GROWING = frozenset({"job", "stage", "artifact", "artifact_file", "attempt", "event"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One statement, as it was executed once."""

    part: str  # which part of the system asked, e.g. "fill"
    statement: str
    ms: float  # planning and execution, triggers included
    rows: int  # read from tables and indexes, those that a filter dropped included
    pages: int  # of 8 kB, from memory or disk
    whole: tuple[str, ...]  # growing tables that were read from end to end
    plan: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.part}: {self.rows} rows, {self.pages} pages, {self.ms:.2f} ms"


class Onlooker:
    """Collects the looks at an engine's statements while `part` is under way."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self._part = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Names the part of the system whose statements follow."""
        self._part = name
        try:
            yield
        finally:
            self._part = ""

    def see(self, connection: Any, statement: str, parameters: Any) -> None:
        """Explains one statement."""
        if not self._part or not statement.lstrip().upper().startswith(EXPLAINABLE):
            return
        with connection.connection.dbapi_connection.cursor() as cursor:
            cursor.execute("SAVEPOINT onlooker")
            cursor.execute(EXPLAIN + statement, parameters)
            answer = cursor.fetchone()[0]
            cursor.execute("ROLLBACK TO SAVEPOINT onlooker")
        found = answer if isinstance(answer, list) else json.loads(answer)
        self.looks.append(look(self._part, statement, found[0]))


def look(part: str, statement: str, explained: Mapping[str, Any]) -> Look:
    """Reads what EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) says of a statement."""
    plan = explained["Plan"]
    nodes = list(_nodes(plan))
    scans = [node for node in nodes if "Scan" in node["Node Type"]]
    return Look(
        part=part,
        statement=" ".join(statement.split()),
        ms=explained["Planning Time"] + explained["Execution Time"],
        rows=sum(_rows(node) for node in scans if "Relation Name" in node or _is_bitmap(node)),
        pages=plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0),
        whole=tuple(sorted({n["Relation Name"] for n in scans if _is_whole(n)} & GROWING)),
        plan=plan,
    )


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows(node: Mapping[str, Any]) -> int:
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    read = node["Actual Rows"] + sum(node.get(name, 0) for name in dropped)
    return round(read * node["Actual Loops"])


def _is_bitmap(node: Mapping[str, Any]) -> bool:
    return bool(node["Node Type"] == "Bitmap Index Scan")


def _is_whole(node: Mapping[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 0


@contextmanager
def onlooker(engine: Engine) -> Iterator[Onlooker]:
    """Looks at the statements of an engine; nothing is explained outside `part`."""
    watching = Onlooker()

    def see(connection: Any, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        one = parameters[0] if many and isinstance(parameters, list | tuple) else parameters
        watching.see(connection, statement, one)

    event.listen(engine, "before_cursor_execute", see)
    try:
        yield watching
    finally:
        event.remove(engine, "before_cursor_execute", see)

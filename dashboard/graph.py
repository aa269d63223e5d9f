"""A job's stages as the graph they are: which row and column each takes, which lines join them.

Targets and reconstructions stand left, alignments in the middle beside their portrait's
reconstruction, the blend right. A line that another path implies is left out: the blend needs
every artifact, but is drawn after the alignments only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from barber.plan import StageKind

ROW_PX = 128  # height of a card, as in console.css
GAP_PX = 12  # between two rows, as in console.css
LANE_PX = 48  # width of the strip between two columns that holds the lines
MAX_ROWS = 24  # rows that console.css has classes for; a larger plan is listed without lines


class StageLike(Protocol):
    """What the graph must know of a stage."""

    @property
    def kind(self) -> str: ...
    @property
    def slot(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def needs(self) -> Sequence[str]: ...
    @property
    def status(self) -> str: ...


S = TypeVar("S", bound=StageLike)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Generic[S]):
    """A stage in its place; rows and columns count from 1."""

    stage: S
    column: int
    row: int
    rows: int = 1  # how many rows it spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve from one stage to the next, in pixels of the strip between two columns."""

    strip: int  # 1: between column 1 and 2
    path: str  # SVG path data
    status: str  # of the stage that it leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Generic[S]):
    """All nodes, in reading order, and the lines between them."""

    nodes: tuple[Node[S], ...]
    lines: tuple[Line, ...]
    columns: int
    rows: int

    @property
    def height_px(self) -> int:
        return self.rows * (ROW_PX + GAP_PX) - GAP_PX

    @property
    def drawable(self) -> bool:
        return self.rows <= MAX_ROWS


def lay_out(stages: Sequence[S]) -> Graph[S]:
    """Places the stages of one job."""
    of_kind = {
        kind: sorted((s for s in stages if s.kind == kind), key=lambda s: s.slot)
        for kind in StageKind
    }
    nodes: list[Node[S]] = []
    row = 1
    for target in of_kind[StageKind.TARGET]:
        nodes.append(Node(stage=target, column=1, row=row))
        row += 1
    for reconstruct in of_kind[StageKind.RECONSTRUCT]:
        nodes.append(Node(stage=reconstruct, column=1, row=row))
        aligns = [s for s in of_kind[StageKind.ALIGN] if reconstruct.key in s.needs]
        nodes += [Node(stage=s, column=2, row=row + i) for i, s in enumerate(aligns)]
        row += max(len(aligns), 1)
    rows = row - 1
    columns = 3 if of_kind[StageKind.ALIGN] else 2
    nodes += [Node(stage=s, column=columns, row=1, rows=rows) for s in of_kind[StageKind.BLEND]]
    return Graph(nodes=tuple(nodes), lines=_lines(nodes), columns=columns, rows=rows)


def _lines(nodes: Sequence[Node[S]]) -> tuple[Line, ...]:
    by_key = {node.stage.key: node for node in nodes}
    lines = []
    for node in nodes:
        for key in node.stage.needs:
            before = by_key.get(key)
            if before is None or before.column != node.column - 1:
                continue
            y0, y1, middle = _centre(before), _centre(node), LANE_PX // 2
            path = f"M0 {y0} C{middle} {y0} {middle} {y1} {LANE_PX} {y1}"
            lines.append(Line(strip=before.column, path=path, status=before.stage.status))
    return tuple(lines)


def _centre(node: Node[S]) -> int:
    top = (node.row - 1) * (ROW_PX + GAP_PX)
    return top + (node.rows * (ROW_PX + GAP_PX) - GAP_PX) // 2

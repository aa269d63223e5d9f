"""The stages of a job in their places."""

from dataclasses import dataclass

from barber.labels import Region
from barber.plan import PlannedStage, StageKind, plan
from barber.spec import JobSpec, PortraitKey, RegionEdit
from dashboard.graph import GAP_PX, LANE_PX, MAX_ROWS, ROW_PX, lay_out

A, B, C = (PortraitKey(letter * 64) for letter in "abc")


@dataclass(frozen=True)
class Seen:
    planned: PlannedStage
    status: str = "pending"

    def __getattr__(self, name):
        return getattr(self.planned, name)


def stages_of(*regions: RegionEdit):
    spec = JobSpec(identity=A, regions=regions, bundle="0" * 64)
    return [Seen(stage) for stage in plan(spec)]


def hair(structure, appearance):
    return RegionEdit(labels=(Region.HAIR,), structure=structure, appearance=appearance)


def places(graph, kind):
    return [(n.column, n.row, n.rows) for n in graph.nodes if n.stage.kind == kind]


def test_each_portrait_has_a_branch_with_its_own_alignment_beside_it():
    graph = lay_out(stages_of(hair(B, B)))
    assert places(graph, StageKind.TARGET) == [(1, 1, 1)]
    assert places(graph, StageKind.RECONSTRUCT) == [(1, 2, 1), (1, 3, 1)]
    assert places(graph, StageKind.ALIGN) == [(2, 2, 1), (2, 3, 1)]
    assert places(graph, StageKind.BLEND) == [(3, 1, 3)]
    assert (graph.columns, graph.rows) == (3, 3)


def test_a_colour_of_somebody_else_gives_the_identity_two_alignments():
    graph = lay_out(stages_of(hair(B, C)))
    assert places(graph, StageKind.RECONSTRUCT) == [(1, 3, 1), (1, 5, 1), (1, 6, 1)]
    rows = sorted(row for _, row, _ in places(graph, StageKind.ALIGN))
    assert rows == [3, 4, 5, 6]


def test_lines_leave_out_what_a_longer_path_implies():
    stages = stages_of(hair(B, B))
    lines = lay_out(stages).lines
    assert sum(line.strip == 1 for line in lines) == 4  # target and own reconstruction, twice
    assert sum(line.strip == 2 for line in lines) == 2  # only alignments lead to the blend


def test_lines_run_between_the_middles_of_the_cards():
    lines = [line for line in lay_out(stages_of(hair(B, B))).lines if line.strip == 2]
    unit = ROW_PX + GAP_PX
    end = (3 * unit - GAP_PX) // 2
    assert lines[0].path.startswith(f"M0 {unit + ROW_PX // 2} ")
    assert all(line.path.endswith(f" {LANE_PX} {end}") for line in lines)


def test_a_line_carries_the_status_of_the_stage_it_leaves():
    stages = [
        Seen(s.planned, "succeeded" if s.kind == StageKind.TARGET else "failed")
        for s in stages_of(hair(B, B))
    ]
    statuses = [line.status for line in lay_out(stages).lines if line.strip == 1]
    assert sorted(statuses) == ["failed", "failed", "succeeded", "succeeded"]


def test_a_job_without_regions_is_one_reconstruction_and_the_blend():
    graph = lay_out(stages_of())
    assert [(n.stage.kind, n.column) for n in graph.nodes] == [("reconstruct", 1), ("blend", 2)]
    assert len(graph.lines) == 1


def test_a_plan_with_more_rows_than_the_style_sheet_knows_is_listed():
    many = [hair(PortraitKey(f"{i:064x}"), PortraitKey(f"{i:064x}")) for i in range(MAX_ROWS)]
    assert not lay_out(stages_of(*many)).drawable

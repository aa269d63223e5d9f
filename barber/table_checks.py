"""A table's rows through pre-flight: who is refused, who is warned, and why. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from barber.geometry import Geometry
from barber.photographs.own_labels import read_label_map
from barber.photographs.picture import Crop, Picture
from barber.preflight.checks import Judge
from barber.preflight.findings import Check, Finding, Refused, Verdict
from barber.preflight.measures import MeasureCache, Parse, Photograph, Subject, measure_all
from barber.preflight.pose import Pose, pose_of_landmarks
from barber.preflight.thresholds import DEFAULT, Thresholds
from barber.spec import JobSpec, PortraitKey
from barber.table import PlannedRow, RowError, Table

OnProgress = Callable[[int, int], None]  # so many of so many portraits are measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """How a table or a job is checked."""

    geometry: Geometry  # of the bundle
    parse: Parse | None = None  # portraits to label maps; None leaves out what needs them
    cache: MeasureCache | None = None
    allow: frozenset[Check] = frozenset()  # their refusals are warnings
    thresholds: Thresholds = DEFAULT
    on_progress: OnProgress | None = None

    def judge(self, pictures: Iterable[Picture]) -> Judge:
        """Measures portraits, and is then ready for any job over them."""
        subjects = {picture.key: subject_of(picture) for picture in pictures}
        measured = measure_all(
            subjects.values(),
            self.geometry,
            parse=self.parse,
            cache=self.cache,
            on_progress=self.on_progress,
        )
        return Judge(
            subjects,
            measured,
            self.geometry,
            thresholds=self.thresholds,
            allow=self.allow,
        )


class RowChecker:
    """Rows through pre-flight, some at a time; it remembers what earlier rows asked for."""

    def __init__(self, preflight: Preflight) -> None:
        self._preflight = preflight
        self._first: dict[JobSpec, PlannedRow] = {}

    def check(
        self, rows: Iterable[PlannedRow], pictures: Mapping[PortraitKey, Picture]
    ) -> tuple[list[PlannedRow], list[RowError]]:
        """The rows with their findings, and those that a check refuses."""
        rows = list(rows)
        judge = self._preflight.judge(pictures.values())
        sound: list[PlannedRow] = []
        errors: list[RowError] = []
        for row in rows:
            files = [f for key in row.spec.portraits for f in pictures[key].findings]
            twin = _duplicate(row, self._first.setdefault(row.spec, row))
            findings = (*files, *judge.job(row.spec), twin)
            if any(finding.verdict is Verdict.REFUSE for finding in findings):
                errors.append(_refused(row, findings))
            else:
                sound.append(replace(row, findings=findings))
        return sound, errors


def check_table(table: Table, preflight: Preflight) -> Table:
    """The table with every row's findings; rows that a check refuses are errors now."""
    rows, refused = RowChecker(preflight).check(table.rows, table.pictures)
    errors = sorted([*table.errors, *refused], key=lambda error: error.line)
    return replace(table, rows=tuple(rows), errors=tuple(errors))


def accept_job(
    spec: JobSpec, pictures: Iterable[Picture], preflight: Preflight
) -> tuple[Finding, ...]:
    """All findings of one job.

    Raises:
        Refused: A check refuses it.
    """
    pictures = list(pictures)
    on_files = [finding for picture in pictures for finding in picture.findings]
    findings = (*on_files, *preflight.judge(pictures).job(spec))
    refusals = [finding for finding in findings if finding.verdict is Verdict.REFUSE]
    if refusals:
        raise Refused(refusals)
    return findings


def subject_of(picture: Picture) -> Subject:
    """A portrait as pre-flight sees it."""
    labels = picture.labels_png
    photograph = None
    if picture.crop is not None:
        photograph = Photograph(
            faces=picture.face_count or 1,
            side_px=picture.crop.side_px,
            pose=_pose(picture, picture.crop),
        )
    return Subject(
        key=picture.key,
        name=picture.name,
        pixels=picture.pixels,
        label_map=None if labels is None else lambda: read_label_map(labels, name=picture.name),
        photograph=photograph,
    )


def noteworthy(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is kept with a job: all but what passed."""
    return tuple(finding for finding in findings if finding.verdict is not Verdict.PASS)


def warnings_in(rows: Iterable[PlannedRow]) -> Counter[str]:
    """In how many rows each check warned."""
    return Counter(
        str(check)
        for row in rows
        for check in {f.check for f in row.findings if f.verdict is Verdict.WARN}
    )


def summary(rows: Iterable[PlannedRow]) -> str:
    """One sentence on the warnings of a table; empty when there are none."""
    rows = list(rows)
    warned = sum(any(f.verdict is Verdict.WARN for f in row.findings) for row in rows)
    if not warned:
        return ""
    counts = ", ".join(f"{check} {count:,}" for check, count in warnings_in(rows).most_common())
    have = "has" if warned == 1 else "have"
    return f"{warned:,} of {len(rows):,} rows {have} warnings: {counts}"


def _refused(row: PlannedRow, findings: Iterable[Finding]) -> RowError:
    kept = noteworthy(findings)
    reasons = [finding.sentence for finding in kept if finding.verdict is Verdict.REFUSE]
    reason = "; ".join(dict.fromkeys(reasons))
    return RowError(line=row.line, name=row.name, reason=reason, findings=kept)


def _duplicate(row: PlannedRow, first: PlannedRow) -> Finding:
    """On a row that asks for the very picture that an earlier one asks for."""
    if first is row:
        sentence = "no earlier row asks for the same"
        return Finding(check=Check.DUPLICATE, verdict=Verdict.PASS, sentence=sentence)
    sentence = f"asks for the same as line {first.line} ({first.name}): change the seed or leave it"
    return Finding(
        check=Check.DUPLICATE,
        verdict=Verdict.WARN,
        sentence=sentence,
        number=first.line,
        unit="line",
    )


def _pose(picture: Picture, crop: Crop) -> Pose | None:
    """The pose by the landmarks, in the portrait's own axes: upright as it was cut."""
    if picture.landmarks is None:
        return None
    to_photo = np.vstack([crop.matrix(), [0, 0, 1]])
    points = np.column_stack([picture.landmarks + 0.5, np.ones(len(picture.landmarks))])
    return pose_of_landmarks((points @ np.linalg.inv(to_photo).T)[:, :2])

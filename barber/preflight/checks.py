"""The checks themselves: measures of portraits and a job's plan become findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from barber.geometry import Geometry
from barber.labels import Region
from barber.preflight.faces import area_share
from barber.preflight.findings import FINAL_CHECKS, Check, Finding, Verdict
from barber.preflight.measures import (
    FaceMeasures,
    MeasureCache,
    Measures,
    Parse,
    Subject,
    measure_all,
)
from barber.preflight.pose import Pose
from barber.preflight.thresholds import DEFAULT, Limit, Thresholds
from barber.spec import EmptyRegion, JobSpec, PortraitKey, RegionEdit

# What lies over a region and cannot be taken with it.
OCCLUDERS = {
    Region.HAIR: (Region.HAT, "a hat"),
    Region.EYES: (Region.EYEGLASSES, "glasses"),
    Region.BROWS: (Region.EYEGLASSES, "glasses"),
}
WITHOUT_MAP = (Check.ONE_FACE, Check.FRAMING, Check.POSE, Check.REGION, Check.BALD, Check.OCCLUSION)


def run_checks(
    spec: JobSpec,
    subjects: Iterable[Subject],
    geometry: Geometry,
    *,
    parse: Parse | None,
    thresholds: Thresholds = DEFAULT,
    allow: frozenset[Check] = frozenset(),
    cache: MeasureCache | None = None,
) -> tuple[Finding, ...]:
    """Every check of one job, passed ones included.

    Args:
        spec: The job.
        subjects: Its portraits.
        geometry: The bundle's sizes.
        parse: Portraits to label maps; None leaves out the checks that need one, and says so.
        thresholds: The limits.
        allow: Checks whose refusals are warnings.
        cache: Of measures.
    """
    by_key = {subject.key: subject for subject in subjects}
    measured = measure_all(by_key.values(), geometry, parse=parse, cache=cache)
    return Judge(by_key, measured, geometry, thresholds=thresholds, allow=allow).job(spec)


class Judge:
    """Checks jobs over measured portraits; each portrait is judged once, whatever the jobs.

    Args:
        subjects: Every portrait of the jobs.
        measured: Their measures.
        geometry: The bundle's sizes.
        thresholds: The limits.
        allow: Checks whose refusals are warnings.
    """

    def __init__(
        self,
        subjects: Mapping[PortraitKey, Subject],
        measured: Mapping[PortraitKey, Measures],
        geometry: Geometry,
        *,
        thresholds: Thresholds = DEFAULT,
        allow: frozenset[Check] = frozenset(),
    ) -> None:
        assert not allow.intersection(FINAL_CHECKS)
        self._subjects, self._measured, self._geometry = subjects, measured, geometry
        self._limits, self._allow = thresholds, allow
        self._portraits: dict[PortraitKey, tuple[Finding, ...]] = {}

    def job(self, spec: JobSpec) -> tuple[Finding, ...]:
        """All findings of a job: its portraits, their poses, then its regions in order."""
        found = [finding for key in spec.portraits for finding in self.portrait(key)]
        found += [f for key in spec.portraits[1:] for f in self._pose(spec.identity, key)]
        for edit in spec.regions:
            found += self._region(spec, edit)
        if any(self._measured[key].face is None for key in spec.portraits):
            found += [_not_parsed(check) for check in WITHOUT_MAP]
        return tuple(self._weighed(finding) for finding in found)

    def portrait(self, key: PortraitKey) -> tuple[Finding, ...]:
        """The findings on one portrait alone."""
        if key not in self._portraits:
            subject, measures = self._subjects[key], self._measured[key]
            found = [*self._faces(subject, measures.face), *self._tones(subject.name, measures)]
            self._portraits[key] = tuple(found)
        return self._portraits[key]

    def _weighed(self, finding: Finding) -> Finding:
        """A refusal that is allowed is a warning, and says that it was one."""
        if finding.verdict is Verdict.REFUSE and finding.check in self._allow:
            return replace(finding, verdict=Verdict.WARN, allowed=True)
        return finding

    def _faces(self, subject: Subject, face: FaceMeasures | None) -> list[Finding]:
        found: list[Finding] = []
        photograph = subject.photograph
        if photograph is not None:
            found.append(_several(subject.name, photograph.faces))
            found.append(self._face_size(subject.name, photograph.side_px))
        if face is not None:
            found.append(_one_face(subject.name, face.count))
            if face.count:
                found.append(self._framing(subject.name, face.side))
        return found

    def _face_size(self, name: str, side_px: float) -> Finding:
        size, limit = self._geometry.image_size, self._limits.face_size
        verdict, bound = limit.judge(side_px / size)
        said = f"the face in {name} fills {side_px:.0f} of the {size} pixels of a portrait"
        if verdict is not Verdict.PASS:
            said += ", so it is enlarged: use a larger photograph, or one taken from nearer"
        threshold = None if bound is None else bound * size
        return Finding(
            check=Check.FACE_SIZE,
            verdict=verdict,
            sentence=said,
            number=side_px,
            threshold=threshold,
            unit="pixels",
            portrait=name,
        )

    def _framing(self, name: str, side: float) -> Finding:
        said = f"the face takes {side:.0%} of the side of {name}"
        remedy = "crop the picture closer around the face"
        return _judged(Check.FRAMING, self._limits.framing, side, said, remedy, portrait=name)

    def _tones(self, name: str, measures: Measures) -> list[Finding]:
        limits = self._limits
        return [
            _judged(
                Check.BLUR,
                limits.blur,
                measures.detail,
                f"{name} has {measures.detail:.2f} times as much fine detail as coarse",
                "it is blurred or enlarged, so use a sharper picture",
                portrait=name,
            ),
            _judged(
                Check.DARKNESS,
                limits.darkness,
                measures.bright,
                f"the lightest parts of {name} have {measures.bright:.0f} of 255 grey levels",
                "it is too dark, so use a picture with more light",
                portrait=name,
            ),
            _judged(
                Check.HIGHLIGHTS,
                limits.highlights,
                measures.clipped,
                f"{measures.clipped:.0%} of the face in {name} is burnt out to white",
                "use a picture with less exposure",
                portrait=name,
            ),
            _judged(
                Check.CONTRAST,
                limits.contrast,
                measures.span,
                f"{name} spans {measures.span:.0f} of 255 grey levels",
                "there is hardly anything to be seen in it, so use another picture",
                portrait=name,
            ),
        ]

    def _pose_of(self, key: PortraitKey) -> Pose | None:
        photograph, face = self._subjects[key].photograph, self._measured[key].face
        if photograph is not None and photograph.pose is not None:
            return photograph.pose
        return face.pose if face is not None and face.count == 1 else None

    def _pose(self, identity: PortraitKey, other: PortraitKey) -> list[Finding]:
        """The gap of the axis that is worst for its limit; nothing where poses are not known."""
        names = self._subjects[identity].name, self._subjects[other].name
        own, turned = self._pose_of(identity), self._pose_of(other)
        if own is None or turned is None:
            return self._pose_unknown(identity, other)
        limits = self._limits
        gaps = {
            "yaw": (abs(own.yaw - turned.yaw), limits.yaw),
            "pitch": (abs(own.pitch - turned.pitch), limits.pitch),
            "roll": (abs(own.roll - turned.roll), limits.roll),
        }
        axis, (gap, limit) = max(gaps.items(), key=lambda item: item[1][1].excess(item[1][0]))
        said = (
            f"the head in {names[1]} is turned {gap:.0f} degrees ({axis}) from that in {names[0]}"
        )
        remedy = "use a reference that looks the same way"
        return [_judged(Check.POSE, limit, gap, said, remedy, portrait=names[1])]

    def _pose_unknown(self, identity: PortraitKey, other: PortraitKey) -> list[Finding]:
        faces = self._measured[identity].face, self._measured[other].face
        if faces[0] is None or faces[1] is None or faces[0].count != 1 or faces[1].count != 1:
            return []  # said already, by another check
        hidden = identity if self._pose_of(identity) is None else other
        said = (
            f"which way {self._subjects[hidden].name} looks cannot be told: its eyes, nose or "
            "mouth are hidden"
        )
        name = self._subjects[other].name
        verdict = Verdict.NOT_CHECKED
        return [Finding(check=Check.POSE, verdict=verdict, sentence=said, portrait=name)]

    def _region(self, spec: JobSpec, edit: RegionEdit) -> list[Finding]:
        found = [_change(self._subjects[spec.identity].name, spec.identity, edit)]
        shape_may_lack = spec.params.target.empty_region is EmptyRegion.REMOVE
        roles = {edit.structure: "shape"}
        roles.setdefault(edit.appearance, "colour")
        for key, role in roles.items():
            face = self._measured[key].face
            if face is not None and face.count:
                may_lack = role == "shape" and shape_may_lack
                found.append(self._present(key, face, edit, role, may_lack=may_lack))
                if Region.HAIR in edit.labels and face.hair_contrast is not None:
                    found.append(self._hair_or_skin(key, face.hair_contrast, edit))
        found += self._occluded(edit.structure, edit)
        if Region.HAIR in edit.labels and edit.structure != spec.identity:
            found += self._occluded(spec.identity, edit)
        return found

    def _present(
        self, key: PortraitKey, face: FaceMeasures, edit: RegionEdit, role: str, *, may_lack: bool
    ) -> Finding:
        limits, words = self._limits, edit.area.words
        limit = limits.hair if edit.labels == (Region.HAIR,) else limits.region
        share = area_share(face.shares, face.zones, edit.area)
        verdict, bound = limit.judge(share)
        name = self._subjects[key].name
        said = f"{words} covers {share:.2%} of {name}, which gives its {role}"
        if verdict is Verdict.REFUSE and may_lack:
            verdict, said = Verdict.WARN, f"{said}: the identity will lose it"
        elif verdict is Verdict.REFUSE:
            said = f"there is no {words} to take from {name} ({share:.2%} of it): name another"
        elif verdict is Verdict.WARN:
            said += ": that is very little, and may come out wrong"
        return Finding(
            check=Check.REGION,
            verdict=verdict,
            sentence=said,
            number=share,
            threshold=bound,
            unit=limit.unit,
            portrait=name,
            region=words,
        )

    def _hair_or_skin(self, key: PortraitKey, contrast: float, edit: RegionEdit) -> Finding:
        name = self._subjects[key].name
        said = f"the hair of {name} differs from its skin by {contrast:.2f} in colour and strands"
        remedy = "it looks like a bald head, so name another portrait"
        limit = self._limits.bald
        judged = _judged(Check.BALD, limit, contrast, said, remedy, portrait=name)
        return replace(judged, region=edit.area.words)

    def _occluded(self, key: PortraitKey, edit: RegionEdit) -> list[Finding]:
        face = self._measured[key].face
        if face is None or edit.zone is not None:
            return []
        found = []
        over = {OCCLUDERS[label] for label in edit.labels if label in OCCLUDERS}
        for cover, what in sorted(over):
            hiding = face.shares.get(cover.word, 0.0)
            seen = sum(
                face.shares.get(label.word, 0.0)
                for label, (by, _) in OCCLUDERS.items()
                if by is cover and label in edit.labels
            )
            share = hiding / (hiding + seen) if hiding else 0.0
            name, words = self._subjects[key].name, edit.area.words
            said = f"{what} in {name} covers {share:.0%} of where {words} would be"
            limit, remedy = self._limits.occlusion, "use a picture without it"
            judged = _judged(Check.OCCLUSION, limit, share, said, remedy, portrait=name)
            found.append(replace(judged, region=words))
        return found


def _judged(
    check: Check, limit: Limit, number: float, said: str, remedy: str, *, portrait: str
) -> Finding:
    verdict, bound = limit.judge(number)
    return Finding(
        check=check,
        verdict=verdict,
        sentence=said if verdict is Verdict.PASS else f"{said}: {remedy}",
        number=number,
        threshold=bound,
        unit=limit.unit,
        portrait=portrait,
    )


def _one_face(name: str, count: int) -> Finding:
    if count == 0:
        said = f"there is no face in {name}: use a portrait that shows one from the front"
    elif count > 1:
        said = f"{name} shows {count} faces: crop it around the one that is meant"
    else:
        said = f"{name} shows one face"
    verdict = Verdict.PASS if count == 1 else Verdict.REFUSE
    return _count(name, count, verdict, said)


def _several(name: str, count: int) -> Finding:
    """On the photograph: the largest face was taken."""
    said = f"one face was found in the photograph {name}"
    if count > 1:
        said = (
            f"{count} faces were found in the photograph {name}, and the largest was taken: crop "
            "it if another is meant"
        )
    return _count(name, count, Verdict.PASS if count == 1 else Verdict.WARN, said)


def _count(name: str, count: int, verdict: Verdict, said: str) -> Finding:
    return Finding(
        check=Check.ONE_FACE,
        verdict=verdict,
        sentence=said,
        number=count,
        threshold=1,
        unit="faces",
        portrait=name,
    )


def _change(name: str, identity: PortraitKey, edit: RegionEdit) -> Finding:
    same = edit.structure == edit.appearance == identity
    words = edit.area.words
    said = f"{words} comes from another portrait"
    if same:
        said = f"{words} comes from {name} itself, so this changes nothing: name another portrait"
    return Finding(
        check=Check.NO_CHANGE,
        verdict=Verdict.WARN if same else Verdict.PASS,
        sentence=said,
        portrait=name if same else "",
        region=words,
    )


def _not_parsed(check: Check) -> Finding:
    said = f"{check} was not checked: the face parser was left out (--no-parse)"
    return Finding(check=check, verdict=Verdict.NOT_CHECKED, sentence=said)

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from barber.labels import Region, parse_region
from barber.pixels import Pixels, portrait_key
from barber.preflight.checks import WITHOUT_MAP, run_checks
from barber.preflight.findings import Check, Finding, Verdict
from barber.preflight.measures import LabelMap, Photograph, Subject
from barber.preflight.pose import Pose
from barber.spec import EmptyRegion, JobSpec, RegionEdit, StageParams
from tests.support.drawn import bald, drawn
from tests.support.tiny_bundle import GEOMETRY

ADA, BEA = 34, 20
AHEAD = Pose(yaw=0, pitch=0, roll=0)


def subject(
    name: str,
    pixels: Pixels,
    label_map: LabelMap | None,
    photograph: Photograph | None = None,
) -> Subject:
    own = None if label_map is None else lambda: label_map
    key = portrait_key(pixels, label_map)
    return Subject(key=key, name=name, pixels=lambda: pixels, label_map=own, photograph=photograph)


def person(number: int, **changes: object) -> Subject:
    return replace(
        subject(f"{number}.png", drawn(number).pixels, drawn(number).label_map), **changes
    )


def checked(
    identity: Subject,
    other: Subject,
    region: str = "hair",
    *,
    allow: frozenset[Check] = frozenset(),
    params: StageParams | None = None,
    colour: Subject | None = None,
) -> list[Finding]:
    """All findings that are not passed, of one region from `other`."""
    area = parse_region(region)
    edit = RegionEdit(
        labels=area.labels,
        zone=area.zone,
        structure=other.key,
        appearance=(colour or other).key,
    )
    spec = JobSpec(
        identity=identity.key, regions=(edit,), bundle="b" * 64, params=params or StageParams()
    )
    subjects = [identity, other, *([colour] if colour else [])]
    found = run_checks(spec, subjects, GEOMETRY, parse=None, allow=allow)
    return [finding for finding in found if finding.verdict is not Verdict.PASS]


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def with_label(number: int, of: Region, becomes: Region) -> LabelMap:
    label_map = drawn(number).label_map.copy()
    label_map[label_map == of] = becomes
    return label_map


@pytest.mark.parametrize("region", ["hair", "face", "lips", "eyes", "beard"])
def test_sound_portraits_pass_everything(region: str) -> None:
    assert checked(person(ADA), person(BEA), region) == []


def test_passed_checks_tell_their_numbers() -> None:
    ada, bea = person(ADA), person(BEA)
    edit = RegionEdit(labels=(Region.HAIR,), structure=bea.key, appearance=bea.key)
    spec = JobSpec(identity=ada.key, regions=(edit,), bundle="b" * 64)
    found = run_checks(spec, [ada, bea], GEOMETRY, parse=None)
    numbered = {f.check for f in found if f.number is not None and f.threshold is not None}
    assert numbered == set(Check) - {
        *(Check.FORMAT, Check.FILE_SIZE, Check.DECODED_PIXELS, Check.PICTURE_SIZE),
        *(Check.FACE_SIZE, Check.NO_CHANGE, Check.DUPLICATE),
    }


def test_hair_of_a_bald_head_is_refused() -> None:
    nobody = subject("bald.png", bald(BEA).pixels, bald(BEA).label_map)
    finding = only(checked(person(ADA), nobody))
    assert (finding.check, finding.verdict) == (Check.REGION, Verdict.REFUSE)
    assert (finding.number, finding.portrait, finding.region) == (0, "bald.png", "hair")
    assert "bald.png shows no hair to take" in finding.sentence


def test_colour_of_a_bald_head_is_refused() -> None:
    nobody = subject("bald.png", bald(BEA).pixels, bald(BEA).label_map)
    finding = only(checked(person(ADA), person(BEA), colour=nobody))
    assert (finding.check, finding.verdict) == (Check.REGION, Verdict.REFUSE)


def test_bald_head_whose_scalp_is_parsed_as_hair_is_refused() -> None:
    label_map = bald(BEA).label_map.copy()
    brows = np.nonzero((label_map == Region.BROWS).any(axis=1))[0].min()
    label_map[:brows][label_map[:brows] == Region.SKIN] = Region.HAIR
    finding = only(checked(person(ADA), subject("bald.png", bald(BEA).pixels, label_map)))
    assert (finding.check, finding.verdict) == (Check.BALD, Verdict.REFUSE)


def test_region_that_shall_be_removed_may_be_absent() -> None:
    params = StageParams.from_json({"target": {"empty_region": EmptyRegion.REMOVE}})
    nobody = subject("bald.png", bald(BEA).pixels, bald(BEA).label_map)
    finding = only(checked(person(ADA), nobody, params=params))
    assert (finding.check, finding.verdict) == (Check.REGION, Verdict.WARN)
    assert "will lose it" in finding.sentence


def test_glasses_that_nobody_wears_cannot_be_taken() -> None:
    finding = only(checked(person(ADA), person(BEA), "glasses"))
    assert (finding.check, finding.verdict) == (Check.REGION, Verdict.REFUSE)


def test_very_small_region_is_a_warning() -> None:
    label_map = with_label(BEA, Region.UPPER_LIP, Region.SKIN)
    label_map[80, 60:75] = Region.UPPER_LIP
    finding = only(checked(person(ADA), person(BEA, label_map=lambda: label_map), "upper-lip"))
    assert (finding.check, finding.verdict) == (Check.REGION, Verdict.WARN)
    assert finding.number == pytest.approx(15 / 128**2)


def test_hat_over_the_hair_is_a_warning() -> None:
    label_map = drawn(BEA).label_map.copy()
    label_map[:44][label_map[:44] == Region.HAIR] = Region.HAT
    finding = only(checked(person(ADA), person(BEA, label_map=lambda: label_map)))
    assert (finding.check, finding.verdict) == (Check.OCCLUSION, Verdict.WARN)
    assert f"a hat in {BEA}.png" in finding.sentence


def test_reference_that_is_the_identity_changes_nothing() -> None:
    finding = only(checked(person(ADA), person(ADA)))
    assert (finding.check, finding.verdict) == (Check.NO_CHANGE, Verdict.WARN)


@pytest.mark.parametrize(
    ("change", "check", "verdict"),
    [
        (lambda p: np.repeat(np.repeat(p[::8, ::8], 8, 0), 8, 1), None, None),
        (lambda p: (p * 0.2).astype(np.uint8), Check.DARKNESS, Verdict.WARN),
        (lambda p: (p * 0.05).astype(np.uint8), Check.DARKNESS, Verdict.REFUSE),
        (lambda p: (p * 0.02 + 120).astype(np.uint8), Check.CONTRAST, Verdict.REFUSE),
        (lambda p: np.maximum(p, 252), Check.HIGHLIGHTS, Verdict.REFUSE),
    ],
    ids=["blocks", "dim", "night", "fog", "flash"],
)
def test_spoilt_picture_is_noticed(change: object, check: Check, verdict: Verdict) -> None:
    assert callable(change)
    spoilt = subject("spoilt.png", change(drawn(BEA).pixels), drawn(BEA).label_map)
    found = {f.check: f for f in checked(person(ADA), spoilt)}
    if check is None:
        assert Check.DARKNESS not in found
    else:
        assert found[check].verdict is verdict
        assert found[check].portrait == "spoilt.png"


@pytest.mark.parametrize(
    ("sigma", "verdict"), [(0.5, None), (2, Verdict.WARN), (6, Verdict.REFUSE)]
)
def test_blur_is_noticed(sigma: float, verdict: Verdict | None) -> None:
    soft = gaussian_filter(drawn(BEA).pixels.astype(np.float32), (sigma, sigma, 0))
    spoilt = subject("soft.png", soft.clip(0, 255).astype(np.uint8), drawn(BEA).label_map)
    found = {f.check: f.verdict for f in checked(person(ADA), spoilt, "face")}
    assert found.get(Check.BLUR) is verdict


def test_portraits_without_a_face_or_with_two_are_refused() -> None:
    nothing = subject("wall.png", drawn(BEA).pixels, np.zeros((64, 64), np.uint8))
    assert Check.ONE_FACE in {f.check for f in checked(nothing, person(BEA))}
    pair = np.concatenate([drawn(ADA).label_map, drawn(BEA).label_map], axis=1)
    found = checked(subject("pair.png", drawn(BEA).pixels, pair), person(BEA))
    faces = next(f for f in found if f.check is Check.ONE_FACE)
    assert (faces.number, faces.verdict) == (2, Verdict.REFUSE)


def test_face_that_a_detector_saw_and_the_parser_does_not_is_a_warning() -> None:
    nothing = np.zeros((64, 64), np.uint8)
    seen = photographed(BEA, pose=AHEAD)
    found = checked(person(ADA), replace(seen, label_map=lambda: nothing))
    verdicts = {f.check: f.verdict for f in found}
    assert verdicts == {Check.ONE_FACE: Verdict.WARN, Check.REGION: Verdict.REFUSE}


def test_one_face_that_a_detector_saw_and_the_parser_doubled_is_a_warning() -> None:
    pair = np.concatenate([drawn(ADA).label_map, drawn(BEA).label_map], axis=1)
    seen = photographed(BEA, pose=AHEAD)
    found = checked(person(ADA), replace(seen, label_map=lambda: pair))
    counts = [(f.number, f.verdict) for f in found if f.check is Check.ONE_FACE]
    assert counts == [(2, Verdict.WARN)]


def test_face_far_away_is_noticed() -> None:
    far = np.zeros((512, 512), np.uint8)
    far[200:328, 200:328] = drawn(BEA).label_map
    found = checked(person(ADA), person(BEA, label_map=lambda: far))
    framing = next(f for f in found if f.check is Check.FRAMING)
    assert framing.verdict is Verdict.REFUSE


def photographed(number: int, *, side_px: float = 900, faces: int = 1, pose: Pose) -> Subject:
    return person(number, photograph=Photograph(faces=faces, side_px=side_px, pose=pose))


@pytest.mark.parametrize(
    ("side_px", "verdict"), [(64, None), (63, Verdict.WARN), (7, Verdict.REFUSE)]
)
def test_face_that_is_small_in_its_photograph_is_noticed(
    side_px: float, verdict: Verdict | None
) -> None:
    found = checked(person(ADA), photographed(BEA, side_px=side_px, pose=AHEAD))
    sizes = {f.check: f for f in found}.get(Check.FACE_SIZE)
    assert (sizes and sizes.verdict) is verdict
    if sizes:
        assert (sizes.number, sizes.unit) == (side_px, "pixels")


def test_photograph_of_several_faces_is_a_warning() -> None:
    found = checked(person(ADA), photographed(BEA, faces=3, pose=AHEAD))
    assert {(f.check, f.verdict) for f in found} == {(Check.ONE_FACE, Verdict.WARN)}


@pytest.mark.parametrize(
    ("pose", "verdict", "axis"),
    [
        (Pose(yaw=14, pitch=20, roll=5), None, ""),
        (Pose(yaw=-16, pitch=20, roll=5), Verdict.WARN, "yaw"),
        (Pose(yaw=46, pitch=20, roll=5), Verdict.REFUSE, "yaw"),
        (Pose(yaw=0, pitch=-61, roll=5), Verdict.REFUSE, "pitch"),
        (Pose(yaw=0, pitch=0, roll=13), Verdict.WARN, "roll"),
    ],
)
def test_pose_gap_is_that_of_the_worst_axis(pose: Pose, verdict: Verdict | None, axis: str) -> None:
    found = checked(photographed(ADA, pose=AHEAD), photographed(BEA, pose=pose))
    gap = {f.check: f for f in found}.get(Check.POSE)
    assert (gap and gap.verdict) is verdict
    if gap:
        assert gap.unit == f"degrees of {axis}"
        assert f"{ADA}.png" in gap.sentence
        assert f"{BEA}.png" in gap.sentence


def test_pose_that_cannot_be_told_is_not_checked() -> None:
    label_map = with_label(BEA, Region.LOWER_LIP, Region.SKIN)
    for lip in (Region.UPPER_LIP, Region.MOUTH):
        label_map[label_map == lip] = Region.SKIN
    finding = only(checked(person(ADA), person(BEA, label_map=lambda: label_map)))
    assert (finding.check, finding.verdict) == (Check.POSE, Verdict.NOT_CHECKED)


def test_allowed_refusal_is_a_warning_and_says_so() -> None:
    nobody = subject("bald.png", bald(BEA).pixels, bald(BEA).label_map)
    finding = only(checked(person(ADA), nobody, allow=frozenset({Check.REGION})))
    assert (finding.verdict, finding.allowed) == (Verdict.WARN, True)


def test_without_a_parser_what_needs_it_is_not_checked() -> None:
    plain = [subject(f"{n}.png", drawn(n).pixels, None) for n in (ADA, BEA)]
    found = checked(*plain)
    assert {f.check for f in found} == set(WITHOUT_MAP)
    assert {f.verdict for f in found} == {Verdict.NOT_CHECKED}
    assert all("--no-parse" in f.sentence for f in found)


def test_no_drawn_face_is_refused() -> None:
    people = [person(number) for number in range(12)]
    for one, other in pairwise(people):
        for region in ("hair", "face", "lips"):
            assert {f.verdict for f in checked(one, other, region)} <= {Verdict.WARN}

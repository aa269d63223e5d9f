import numpy as np
import pytest
from numpy.typing import NDArray

from barber.labels import Region
from barber.preflight.pose import Pose, pose_of_labels, pose_of_landmarks
from tests.support.turned_head import turn, turned_label_map

# Of a face that looks straight ahead, in millimetres; points that no formula reads stay 0.
EYES = {range(36, 42): (-31.5, 0, 0), range(42, 48): (31.5, 0, 0)}
OTHERS = {range(48, 60): (0, 70, 0), range(30, 31): (0, 42, 26)}


def landmarks(yaw: float = 0, pitch: float = 0, roll: float = 0) -> NDArray[np.float64]:
    points = np.zeros((68, 3))
    for group, place in (EYES | OTHERS).items():
        points[list(group)] = place
    seen: NDArray[np.float64] = (points @ turn(yaw, pitch, roll).T)[:, :2] * 3 + [400, 300]
    return seen


@pytest.mark.parametrize("angle", [-50, -20, 0, 10, 35])
@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
def test_landmarks_of_a_mean_face_give_its_angles(axis: str, angle: float) -> None:
    pose = pose_of_landmarks(landmarks(**{axis: angle}))
    assert pose is not None
    expected = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0} | {axis: angle}
    assert pose.to_json() == pytest.approx(expected, abs=0.5)


def test_landmarks_that_are_no_face_have_no_pose() -> None:
    assert pose_of_landmarks(np.zeros((68, 2))) is None
    upside_down = landmarks() * [1, -1]
    assert pose_of_landmarks(upside_down) is None


@pytest.mark.parametrize("yaw", [-40, -20, -10, 10, 20, 40])
def test_cheeks_of_a_label_map_tell_its_yaw(yaw: float) -> None:
    pose = pose_of_labels(turned_label_map(yaw=yaw))
    assert pose is not None
    assert pose.yaw == pytest.approx(yaw, rel=0.3)
    assert abs(pose.roll) < 1


@pytest.mark.parametrize("pitch", [-40, -20, 20, 40])
def test_nose_of_a_label_map_tells_its_pitch(pitch: float) -> None:
    level, turned = pose_of_labels(turned_label_map()), pose_of_labels(turned_label_map(0, pitch))
    assert level is not None
    assert turned is not None
    assert turned.pitch - level.pitch == pytest.approx(pitch, abs=8)
    assert abs(turned.yaw) < 2


@pytest.mark.parametrize("roll", [-30, -10, 10, 30])
def test_eyes_of_a_label_map_tell_its_roll(roll: float) -> None:
    pose = pose_of_labels(turned_label_map(roll=roll))
    assert pose is not None
    assert pose.roll == pytest.approx(roll, abs=1.5)
    assert abs(pose.yaw) < 3


def test_brows_stand_in_for_eyes_behind_dark_glasses() -> None:
    seen, hidden = (pose_of_labels(turned_label_map(20, glasses=dark)) for dark in (False, True))
    assert seen is not None
    assert hidden is not None
    assert hidden.yaw == pytest.approx(seen.yaw, abs=2)
    assert hidden.pitch == pytest.approx(seen.pitch, abs=8)


@pytest.mark.parametrize("hidden", [Region.NOSE, Region.LOWER_LIP])
def test_pose_is_unknown_when_a_feature_is_hidden(hidden: Region) -> None:
    label_map = turned_label_map()
    label_map[label_map == hidden] = Region.SKIN
    assert pose_of_labels(label_map) is None


def test_pose_is_unknown_in_profile() -> None:
    label_map = turned_label_map()
    right = np.arange(label_map.shape[1]) > label_map.shape[1] // 2
    label_map[right & np.isin(label_map, (Region.EYES, Region.BROWS))] = Region.SKIN
    assert pose_of_labels(label_map) is None


def test_pose_goes_through_json() -> None:
    pose = Pose(yaw=1.25, pitch=-3.5, roll=0.125)
    assert Pose.from_json(pose.to_json()) == pose

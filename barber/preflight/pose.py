"""How far a head is turned, from where its features lie in the picture, as seen from far away.

Roll is the slope of the line between the eyes. Yaw and pitch come from depth, of which landmarks
and label maps know different things.

Landmarks have the tip of the nose, which stands p in front of the plane of eyes and mouth. With d
the distance of the eyes and H that from eyes to mouth, both foreshortened by the turn itself:

    yaw:   the tip's offset across the midline = p sin(yaw),  d' = d cos(yaw)
           tan(yaw) = offset / d' * (d / p)
    pitch: its height between eyes (0) and mouth (1) is t = t0 - (p / H) tan(pitch)

A label map has no tip: the nose's outline is that of its base, which hardly moves. Its yaw is
therefore read from the cheeks, whose outline lies behind the plane of the features by about half
the face's width w: the midline's offset from their middle is about (w / 2) sin(yaw). Its pitch is
that of the nose's middle, which is shallow, so lengths of noses pass for pitch (see `thresholds`).

t0, d, p, H and w differ between people; in the gap between two pictures their means cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from barber.labels import Region
from barber.preflight.faces import FACE, LIPS

# Means of adult faces in millimetres: 63 between the pupils, 70 from there down to the mouth, 18
# up to the brows; the tip of the nose 26 in front of their plane; of its outline's middle, 10 act
# like a depth.
EYE_DISTANCE, FACE_LENGTH, BROW_RISE = 63.0, 70.0, 18.0
TIP_DEPTH, OUTLINE_DEPTH = 26.0, 10.0
TIP_HEIGHT, OUTLINE_HEIGHT = 0.60, 0.50  # t0, of a face that looks straight ahead
CHEEKS = (0.15, 0.85)  # from the eyes (0) to the mouth (1): rows in which cheeks are the outline
LEAST_BALANCE = 0.2  # of the smaller eye's visible area to the larger one's
LEAST_PX = 3  # of each eye, the nose and the mouth in a label map

Point = tuple[float, float]  # x to the right, y down
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Degrees; all near zero for a head that looks straight into the camera."""

    yaw: float  # > 0: towards the right edge of the picture
    pitch: float  # > 0: up
    roll: float  # > 0: clockwise

    def to_json(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(**data)


class _Frame:
    """A face's own axes: the origin between the eyes, `across` along them, `down` the face."""

    def __init__(self, left_eye: Point, right_eye: Point, mouth: Point) -> None:
        line = np.subtract(right_eye, left_eye)
        self.distance = float(np.hypot(*line))
        self._origin = np.add(left_eye, right_eye) / 2
        self._across = line / self.distance if self.distance else line
        self._down = np.array([-self._across[1], self._across[0]])
        self._mouth, self.length = self.place(*mouth)
        self.roll = math.degrees(math.atan2(self._across[1], self._across[0]))

    @property
    def is_face(self) -> bool:
        """Whether the eyes are apart and the mouth is below them."""
        return self.distance > 0 and self.length > 0

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Points in the face's axes: across and down."""
        dx, dy = x - self._origin[0], y - self._origin[1]
        across, down = self._across, self._down
        return dx * across[0] + dy * across[1], dx * down[0] + dy * down[1]

    def midline(self, height: Any) -> Any:
        """How far across the line from eyes to mouth is at a height of 0 (eyes) to 1 (mouth)."""
        return height * self._mouth


def pose_of_landmarks(points: NDArray[np.number[Any]]) -> Pose | None:
    """The pose of the usual 68 landmarks, [68, 2] as (x, y); None when they are no face's."""

    def middle(group: Sequence[int]) -> Point:
        x, y = points[list(group)].mean(axis=0)
        return float(x), float(y)

    # the person's right eye lies left in the picture
    eyes = middle(range(36, 42)), middle(range(42, 48))
    frame = _Frame(*eyes, middle(range(48, 60)))
    if not frame.is_face:
        return None
    across, down = frame.place(*middle([30]))
    height = down / frame.length
    offset = (across - frame.midline(height)) / frame.distance
    return Pose(
        yaw=math.degrees(math.atan(offset * EYE_DISTANCE / TIP_DEPTH)),
        pitch=_pitch(TIP_HEIGHT - height, TIP_DEPTH),
        roll=frame.roll,
    )


def pose_of_labels(label_map: Labels) -> Pose | None:
    """The pose of the face in a label map [H, W]; None when a feature of it is hidden."""
    nose = _middle(label_map == Region.NOSE)
    mouth = _middle(np.isin(label_map, LIPS))
    if nose is None or mouth is None:
        return None
    # Behind dark glasses there are no eyes; the brows stand above them.
    for feature in (Region.EYES, Region.BROWS):
        pair = _halves(label_map == feature, nose[0])
        if pair is None:
            continue
        frame = _Frame(*(_lowered(pair) if feature is Region.BROWS else pair), mouth)
        if frame.is_face:
            _, down = frame.place(*nose)
            return Pose(
                yaw=_yaw_of_cheeks(label_map, frame),
                pitch=_pitch(OUTLINE_HEIGHT - down / frame.length, OUTLINE_DEPTH),
                roll=frame.roll,
            )
    return None


def _lowered(brows: tuple[Point, Point]) -> tuple[Point, Point]:
    """Where the eyes are under brows: the pair moved at right angles to the line between them."""
    (x0, y0), (x1, y1) = brows
    share = BROW_RISE / EYE_DISTANCE
    dx, dy = -(y1 - y0) * share, (x1 - x0) * share
    return (x0 + dx, y0 + dy), (x1 + dx, y1 + dy)


def _pitch(rise: float, depth: float) -> float:
    """Degrees, from how much higher than t0 a point of some depth (in millimetres) lies."""
    return math.degrees(math.atan(rise * FACE_LENGTH / depth))


def _yaw_of_cheeks(label_map: Labels, frame: _Frame) -> float:
    """Degrees, from where the midline lies between the outlines of the cheeks."""
    y, x = np.nonzero(np.isin(label_map, FACE))
    across, down = frame.place(x, y)
    height = down / frame.length
    between = (height > CHEEKS[0]) & (height < CHEEKS[1])
    across = (across - frame.midline(height))[between]
    rows = np.rint(down[between]).astype(int)
    rows -= rows.min(initial=0)
    count = int(rows.max(initial=-1)) + 1
    left, right = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(left, rows, across)
    np.maximum.at(right, rows, across)
    seen = right > left
    if not seen.any():
        return 0.0
    offset = -(left[seen] + right[seen]) / (right[seen] - left[seen])
    return math.degrees(math.asin(float(np.clip(np.median(offset), -1, 1))))


def _middle(mask: NDArray[np.bool_]) -> Point | None:
    """The centroid of a mask; None when it is too small to have one."""
    rows, columns = np.nonzero(mask)
    if len(rows) < LEAST_PX:
        return None
    return float(columns.mean()), float(rows.mean())


def _halves(mask: NDArray[np.bool_], x: float) -> tuple[Point, Point] | None:
    """The centroids of what lies left and right of x; None when one of them is hidden."""
    columns = np.arange(mask.shape[1]) < x
    left, right = mask & columns, mask & ~columns
    areas = sorted((int(left.sum()), int(right.sum())))
    if areas[0] < LEAST_BALANCE * areas[1]:
        return None
    pair = _middle(left), _middle(right)
    return (pair[0], pair[1]) if pair[0] is not None and pair[1] is not None else None

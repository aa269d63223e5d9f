"""Drawn people by number, and heads without hair."""

from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np

from barber.faces import hair, head
from barber.faces.canvas import Canvas
from barber.faces.hair import HairLayers
from barber.faces.head import HeadFrame
from barber.faces.parameters import FaceParams
from barber.faces.renderer import Rendering, face_params, render, sample_z

SIDE = 128


@cache
def drawn(number: int) -> Rendering:
    """The portrait of a person, with its exact label map."""
    return render(_person(number), SIDE)


@cache
def bald(number: int) -> Rendering:
    """The same person with neither hair nor its shadow."""
    paint_face = head.paint_face

    def in_full_light(
        canvas: Canvas, who: FaceParams, frame: HeadFrame, layers: HairLayers
    ) -> None:
        layers = mock.Mock(outline=np.full_like(layers.outline, 9), opening=layers.opening)
        paint_face(canvas, who, frame, layers)

    with (
        mock.patch.object(hair, "paint_back_hair"),
        mock.patch.object(hair, "paint_front_hair"),
        mock.patch.object(head, "paint_face", in_full_light),
    ):
        return render(_person(number), SIDE)


def _person(number: int) -> FaceParams:
    return face_params(sample_z(np.random.default_rng(number), 1)[0])

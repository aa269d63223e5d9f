"""Drawn people by number, and heads without hair."""

from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np

from barber.faces import face, strands
from barber.faces.canvas import Canvas, Plane
from barber.faces.cast import Cast
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
    paint_face = face.paint_face

    def in_full_light(canvas: Canvas, cast: Cast, shadow: Plane) -> None:
        paint_face(canvas, cast, np.zeros_like(shadow))

    with (
        mock.patch.object(strands, "paint_back_hair"),
        mock.patch.object(strands, "paint_front_hair"),
        mock.patch.object(face, "paint_face", in_full_light),
    ):
        return render(_person(number), SIDE)


def _person(number: int) -> FaceParams:
    return face_params(sample_z(np.random.default_rng(number), 1)[0])

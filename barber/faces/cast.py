"""Who gives what to one picture: every group's parameters, and the head whose place it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from barber.faces.canvas import HeadFrame
from barber.faces.light import Lamp
from barber.faces.parameters import FaceParams, Head, Skin


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """One picture's parameters and frames.

    `who` holds every group's parameters, whoever gave them. A frame says where that part stands:
    the head of its giver as long as composites keep parts where they were in their own picture.
    """

    who: FaceParams
    lamp: Lamp
    base: HeadFrame  # body, what is worn
    body_skin: Skin  # of the neck
    ears: HeadFrame
    ears_head: Head
    ears_skin: Skin
    glasses: HeadFrame
    face: HeadFrame  # outline and skin of the face
    face_head: Head  # outline of the face
    eyes: HeadFrame
    brows: HeadFrame
    nose: HeadFrame
    mouth: HeadFrame
    beard: HeadFrame
    hair: HeadFrame
    hair_head: Head  # width that the hair follows

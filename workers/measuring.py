"""Measures a result in the process that made it, where parser and features are loaded anyway."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from barber.plan import ArtifactKey, StageKind
from barber.quality import Quality
from barber.spec import JobSpec, PortraitKey

if TYPE_CHECKING:  # torch comes with these
    from barber.artifacts import Artifact, Portrait
    from barber.models.bundle import ModelBundle

log = logging.getLogger(__name__)


def measure(
    bundle: ModelBundle,
    spec: JobSpec,
    artifact: Artifact,
    *,
    portrait: Callable[[PortraitKey], Portrait],
    load: Callable[[ArtifactKey, StageKind], Artifact],
) -> Quality | None:
    """The numbers of a blend; None for other artifacts, and when measuring itself fails.

    A result without numbers is worth more than none, so nothing that happens here ends the stage.
    """
    from barber.artifacts import Blend
    from barber.evaluation.judging import of_result

    if not isinstance(artifact, Blend):
        return None
    try:
        return of_result(bundle, spec, artifact.image, portrait=portrait, load=load)
    except Exception:
        log.exception("the result could not be measured; it is kept without numbers")
        return None

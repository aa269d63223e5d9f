"""Pictures by digest, as the pages show them: portraits, stored results and masks, previews."""

from __future__ import annotations

from flask import Response
from pydantic import Field

from barber.catalogue.people_tables import Role
from dashboard import portraits
from dashboard.api.endpoint import endpoint
from dashboard.api.shapes import Asked


class PictureAsked(Asked):
    """In which size."""

    side: int | None = Field(
        None,
        description="A thumbnail with this side in pixels; without it the picture as it is.",
        json_schema_extra={"enum": [*portraits.SIDES, None]},
    )


class PreviewAsked(Asked):
    """Of which step."""

    step: int | None = Field(None, ge=0, description="Lets caches tell one step from the next.")


@endpoint(
    "GET",
    "/pictures/<sha256>.png",
    role=Role.VIEWER,
    answer=None,
    tag="pictures",
    gives="image/png",
)
def picture(sha256: str, query: PictureAsked) -> Response:  # noqa: ARG001 (checked for us)
    """A picture of the store by its digest: `result_file` of a job, or what lists link to."""
    return portraits.file(sha256)


@endpoint(
    "GET", "/portraits/<key>.png", role=Role.VIEWER, answer=None, tag="pictures", gives="image/png"
)
def portrait_picture(key: str, query: PictureAsked) -> Response:  # noqa: ARG001 (checked for us)
    """A registered portrait by its key, at the size that the stages see."""
    return portraits.portrait(key)


@endpoint(
    "GET",
    "/stages/<id:stage_id>/preview.png",
    role=Role.VIEWER,
    answer=None,
    tag="pictures",
    gives="image/png",
)
def stage_preview(stage_id: int, query: PreviewAsked) -> Response:  # noqa: ARG001 (checked for us)
    """The latest picture of a running stage."""
    return portraits.preview(stage_id)

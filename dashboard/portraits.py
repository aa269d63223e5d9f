"""Pictures: portraits by key, artifact pictures by digest, previews of running stages.

A digest of 256 bits is known only to those who were shown it, so it is proof enough to whoever is
logged in; a stage's number is not.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, abort, request

from barber import pixels
from barber.catalogue import owners, portraits, stages
from barber.catalogue.people_tables import Role
from barber.errors import NotFound, StoreError
from barber.spec import PortraitKey
from dashboard import access, record

blueprint = Blueprint("portraits", __name__)

DIGEST = re.compile(r"[0-9a-f]{64}")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SIDES = (64, 128, 256)  # thumbnails that may be asked for; a free choice would fill caches
FOREVER = "private, max-age=31536000, immutable"  # a digest's bytes never change


@blueprint.get("/files/<sha256>")
@access.needs(Role.VIEWER)
def file(sha256: str) -> Response:
    """A picture of the store; other files of the store are not for browsers."""
    return _picture(sha256)


@blueprint.get("/portraits/<key>.png")
@access.needs(Role.VIEWER)
def portrait(key: str) -> Response:
    """A registered portrait, at the size that the stages see."""
    _check_digest(key)
    with record.transaction() as session:
        sha256 = portraits.file_of(session, PortraitKey(key))
    return _picture(sha256)


@blueprint.get("/stages/<id:stage_id>/preview.png")
@access.needs(Role.VIEWER)
def preview(stage_id: int) -> Response:
    """The last preview of a running stage; pages add `?step=` so that each step is fetched."""
    with record.transaction() as session:
        owners.check_stage(session, stage_id, access.owner())
        latest = stages.preview(session, stage_id)
    if latest is None:
        raise NotFound(f"stage {stage_id} has no preview")
    return _png(latest.png, cache="private, max-age=3600" if "step" in request.args else "no-store")


def _picture(sha256: str) -> Response:
    _check_digest(sha256)
    side = request.args.get("side", type=int)
    if side is not None and side not in SIDES:
        abort(400, f"thumbnails have a side of {', '.join(map(str, SIDES))}, not {side}")
    try:
        data = record.store().get(sha256)
    except StoreError as error:
        raise NotFound(f"the store has no sound picture {sha256[:10]}") from error
    if not data.startswith(PNG_MAGIC):
        raise NotFound(f"file {sha256[:10]} is not a picture")
    response = _png(data if side is None else pixels.thumbnail(data, side), cache=FOREVER)
    response.set_etag(f"{sha256}-{side or 'full'}")
    name = request.args.get("download")
    if name is not None:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or sha256[:10]
        response.headers["Content-Disposition"] = f'attachment; filename="{plain}.png"'
    response.make_conditional(request)
    return response


def _png(data: bytes, *, cache: str) -> Response:
    return Response(data, mimetype="image/png", headers={"Cache-Control": cache})


def _check_digest(text: str) -> None:
    if not DIGEST.fullmatch(text):
        raise NotFound(f"{text[:20]!r} is no digest: 64 hex digits are needed")

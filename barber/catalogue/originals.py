"""A job's result put back into the photograph that its identity was cut from. No torch."""

from __future__ import annotations

from sqlalchemy.orm import Session

from barber.catalogue import jobs, stages
from barber.catalogue.store import Store
from barber.catalogue.views import JobView
from barber.errors import Conflict, StoreError
from barber.photographs.changes import Mask, changed_regions
from barber.photographs.originals import original_png
from barber.photographs.picture import Crop
from barber.pixels import decode, read_recipe
from barber.plan import StageKind, Variant, plan

ARTIFACT_FILE = "artifact"  # the file of an artifact that holds its numbers


def into_original(session: Session, store: Store, job_id: int) -> bytes:
    """The photograph of a job's identity with the changed regions of its result, as a PNG.

    See `photographs.originals.original_png`.

    Raises:
        NotFound: No such job.
        Conflict: It has no result, or its identity was given as a portrait.
        StoreError: A file is missing or damaged.
    """
    view = jobs.job(session, job_id)
    identity = view.portraits[view.spec.identity]
    if view.row.result_file is None:
        raise Conflict(f"job {job_id} is {view.row.status} and has no result: wait for it")
    if identity.photo_file_sha256 is None or identity.crop is None:
        raise Conflict(
            f"the identity of job {job_id} ({identity.name}) was given as a portrait: its result "
            "is the whole picture; submit a photograph to get it back"
        )
    result = store.get(view.row.result_file)
    return original_png(
        store.get(identity.photo_file_sha256),
        Crop.from_json(dict(identity.crop)),
        decode(result, name=f"result {job_id}"),
        _changed(session, store, view) if view.spec.regions else None,
        name=identity.name,
        recipe=read_recipe(result, name=f"result {job_id}") or {},
    )


def _changed(session: Session, store: Store, view: JobView) -> Mask:
    from safetensors.numpy import load  # not part of an installation that only shows jobs

    target = next(
        stage
        for stage in plan(view.spec)
        if stage.kind is StageKind.TARGET and stage.variant is Variant.STRUCTURE
    )
    file = stages.artifact_files(session, target.key)[ARTIFACT_FILE]
    try:
        arrays = load(store.get(file.sha256))
        masks = arrays["label_map"][0], arrays["removed"][0, 0], arrays["shown"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise StoreError(f"the target mask of job {view.row.id} cannot be read: {error}") from error
    return changed_regions(view.spec.regions, *masks)

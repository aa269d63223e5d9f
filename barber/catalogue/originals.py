"""A job's result put back into the photograph that its identity was cut from. No torch."""

from __future__ import annotations

from sqlalchemy.orm import Session

from barber.catalogue import jobs, stages
from barber.catalogue.store import Store
from barber.catalogue.views import JobView
from barber.errors import Conflict, StoreError
from barber.photographs.changes import Mask, changed_regions
from barber.photographs.paste import paste_back, read_photograph
from barber.photographs.picture import Crop
from barber.pixels import decode, encode_png, read_recipe
from barber.plan import StageKind, Variant, plan

ARTIFACT_FILE = "artifact"  # the file of an artifact that holds its numbers


def into_original(session: Session, store: Store, job_id: int) -> bytes:
    """The photograph of a job's identity with the changed regions of its result, as a PNG.

    It is upright, of the photograph's size, keeps its opacity and RGB colour profile, and carries
    the result's recipe with the photograph's digest and the crop.

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
    photo = read_photograph(store.get(identity.photo_file_sha256), name=identity.name)
    crop = Crop.from_json(dict(identity.crop))
    pasted = photo
    if view.spec.regions:
        changed = _changed(session, store, view)
        pasted = paste_back(photo, decode(result, name=f"result {job_id}"), crop, changed)
    original = {"photograph": identity.photo_file_sha256, "crop": crop.to_json()}
    recipe = {**(read_recipe(result, name=f"result {job_id}") or {}), "original": original}
    return encode_png(pasted.pixels, recipe=recipe, alpha=pasted.alpha, icc=pasted.icc)


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

"""How a job's result was made, joined from what the catalogue keeps of each of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from barber.catalogue.portraits import portraits
from barber.catalogue.tables import Artifact
from barber.plan import plan
from barber.recipe import PortraitOrigin, Recipe
from barber.spec import JobSpec


def recipe(
    session: Session, spec: JobSpec, fresh: Mapping[str, Mapping[str, Any]] | None = None
) -> Recipe:
    """The recipe of a job's result.

    Args:
        session: The session.
        spec: The job's.
        fresh: Recipes of stages that the catalogue does not have yet, by key.
    """
    keys = [stage.key for stage in plan(spec)]
    query = select(Artifact.key, Artifact.recipe).where(Artifact.key.in_(keys))
    kept = {row.key: row.recipe or {} for row in session.execute(query)} | dict(fresh or {})
    bundle = kept.get(keys[-1], {}).get("bundle", {})
    maps = {
        key: row.labels_file_sha256
        for key, row in portraits(session, spec.portraits).items()
        if row.labels_file_sha256 is not None
    }
    return Recipe.assemble(
        spec,
        bundle=bundle.get("name", ""),
        bundle_files=bundle.get("files", {}),
        label_maps=maps,
        outcomes={
            key: (found.get("losses", {}), found.get("environment", {}))
            for key, found in zip(keys, (kept.get(key, {}) for key in keys), strict=True)
        },
    )


def origins(session: Session, spec: JobSpec) -> tuple[PortraitOrigin, ...]:
    """Where the portraits of a job came from, as far as the catalogue remembers."""
    rows = portraits(session, spec.portraits)
    return tuple(
        PortraitOrigin(
            key=key, name=rows[key].name, sha256=rows[key].photo_file_sha256, crop=rows[key].crop
        )
        for key in spec.portraits
        if key in rows
    )

"""The jobs of a chaos run: small portraits, three references each, many of them shared."""

from __future__ import annotations

import random

import numpy as np
from sqlalchemy import Engine

from barber.catalogue import jobs, portraits
from barber.catalogue.db import transaction
from barber.catalogue.jobs import NewJob
from barber.catalogue.store import Store
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST
from barber.labels import Region
from barber.pixels import encode_png
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey, RegionEdit

SIDE_PX = 8
BATCHES = 4
PER_JOB = 4  # an identity and three references


def submit_toys(engine: Engine, settings: Settings, *, count: int, people: int, seed: int) -> None:
    """Submits `count` jobs in a few batches; who gives what to whom falls from the seed.

    Args:
        engine: The catalogue.
        settings: Of the system that is to do them.
        count: How many jobs.
        people: Portraits that the jobs share; the fewer, the more of the stages are shared too.
        seed: Of the dice.
    """
    dice = random.Random(seed)  # noqa: S311 (no secret)
    faces = _register(engine, Store(settings.store_dir), people)
    per_batch = -(-count // BATCHES)
    for first in range(0, count, per_batch):
        numbers = range(first, min(first + per_batch, count))
        new = [NewJob(name=f"job-{n}", spec=_spec(dice.sample(faces, PER_JOB))) for n in numbers]
        with transaction(engine) as session:
            jobs.submit(
                session,
                name=f"chaos-{first // per_batch}",
                jobs=new,
                bundle_name=TOY_BUNDLE,
                submitted_by="chaos",
                max_errors=settings.max_errors,
                max_losses=settings.max_losses,
            )


def _register(engine: Engine, store: Store, people: int) -> list[PortraitKey]:
    with transaction(engine) as session:
        return [
            portraits.register(
                session, store, _picture(number), size=SIDE_PX, name=f"person-{number}.png"
            )
            for number in range(people)
        ]


def _picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return encode_png(pixels)


def _spec(people: list[PortraitKey]) -> JobSpec:
    """Three references: the hair's shape, its colour, and the eyes."""
    identity, shape, colour, eyes = people
    return JobSpec(
        identity=identity,
        regions=(
            RegionEdit(labels=(Region.HAIR,), structure=shape, appearance=colour),
            RegionEdit(labels=(Region.EYES,), structure=eyes, appearance=eyes),
        ),
        bundle=TOY_DIGEST,
    )

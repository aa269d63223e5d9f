"""A result goes back into the photograph that its identity was cut from."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from barber.catalogue import portraits, stages
from barber.catalogue.db import transaction
from barber.catalogue.originals import into_original
from barber.catalogue.stages import Claim
from barber.catalogue.store import Store, StoredFile
from barber.errors import Conflict, NotFound
from barber.photographs.picture import Crop, Picture
from barber.pixels import encode_png, portrait_key, read_recipe
from barber.settings import Settings
from barber.spec import PortraitKey
from tests.support.builders import SIDE, Crew, Ending, hair_spec, known_portraits, submit

pytestmark = pytest.mark.integration

LABELS = 16
PHOTO = np.random.default_rng(5).integers(0, 256, (60, 80, 3), dtype=np.uint8)
QUAD = ((20.0, 10.0), (20.0, 50.0), (60.0, 50.0), (60.0, 10.0))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, sweep_s=0.0)


def photographed(engine: Engine, store: Store) -> PortraitKey:
    pixels = np.full((SIDE, SIDE, 3), 77, dtype=np.uint8)
    picture = Picture(
        key=portrait_key(pixels),
        name="holiday.png",
        width=80,
        height=60,
        size=SIDE,
        png=encode_png(pixels),
        photo=encode_png(PHOTO),
        crop=Crop(quad=QUAD, width=80, height=60, size=SIDE),
    )
    with transaction(engine) as session:
        portraits.keep(session, store, picture)
    return picture.key


def making(store: Store, name: str, data: bytes) -> Ending:
    def ending(session: Session, claim: Claim) -> bool:
        file = StoredFile(sha256=store.put(data), size_bytes=len(data), media_type="image/png")
        return stages.finish(session, claim, files={name: file}, recipe={})

    return ending


def endings(store: Store) -> dict[str, Ending]:
    """A target mask whose upper left quarter changed, and a red result."""
    quarter = np.zeros((1, 1, LABELS, LABELS), dtype=bool)
    quarter[..., : LABELS // 2, : LABELS // 2] = True
    masks = {
        "label_map": np.zeros((1, LABELS, LABELS), dtype=np.uint8),
        "removed": quarter,
        "shown": quarter,
    }
    red = np.full((SIDE, SIDE, 3), (255, 0, 0), dtype=np.uint8)
    return {
        "target": making(store, "artifact", save(masks)),
        "blend": making(store, "image.png", encode_png(red, recipe={"seed": 3})),
    }


def test_result_lies_in_its_photograph_and_nothing_else_does(
    engine: Engine, settings: Settings
) -> None:
    store = Store(settings.store_dir)
    identity, hair = photographed(engine, store), known_portraits(engine, 1)[0]
    (job,) = submit(engine, [hair_spec(identity, hair)])
    crew = Crew(engine, settings)
    with transaction(engine) as session, pytest.raises(Conflict, match="has no result"):
        into_original(session, store, job)
    crew.work(endings(store))
    with transaction(engine) as session:
        data = into_original(session, store, job)
        with pytest.raises(NotFound):
            into_original(session, store, job + 1000)
    with Image.open(io.BytesIO(data)) as image:
        found = np.asarray(image)
    assert found.shape == PHOTO.shape
    assert (found[20:26, 30:36] == (255, 0, 0)).all()  # within the quarter, off the border's fade
    far = np.ones(PHOTO.shape[:2], dtype=bool)
    far[5:43, 15:53] = False
    assert (found[far] == PHOTO[far]).all()
    recipe = read_recipe(data, name="pasted")
    assert recipe is not None
    assert recipe["seed"] == 3
    assert Crop.from_json(recipe["original"]["crop"]).quad == QUAD


def test_portrait_has_no_photograph_to_go_back_into(engine: Engine, settings: Settings) -> None:
    store = Store(settings.store_dir)
    one, two = known_portraits(engine, 2)
    (job,) = submit(engine, [hair_spec(one, two)])
    Crew(engine, settings).work(endings(store))
    with transaction(engine) as session, pytest.raises(Conflict, match="given as a portrait"):
        into_original(session, store, job)

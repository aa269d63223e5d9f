from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.labels import Region
from barber.photographs.crop import align_face, cut_again
from barber.photographs.own_labels import fit_label_map
from barber.photographs.picture import Picture, encode_labels
from barber.photographs.retrieval import Retrieval
from barber.pixels import Pixels, encode_png, fit_portrait, portrait_key
from barber.recipe import PortraitOrigin, Recipe
from barber.spec import JobSpec, PortraitKey
from tests.support.tiny_bundle import GEOMETRY

SIDE = GEOMETRY.image_size


def noise(seed: int, height: int, width: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BOX))


def landmarks(scale: float = 1.0) -> NDArray[np.float64]:
    points = np.zeros((68, 2))
    points[:] = (100, 110)
    points[36:42], points[42:48] = (80, 90), (120, 94)
    points[48], points[54] = (84, 140), (118, 142)
    return points * scale


def nowhere(_key: PortraitKey) -> Picture | None:
    return None


def search(
    folder: Path, key: PortraitKey, labels: str | None = None, origin: PortraitOrigin | None = None
) -> Retrieval:
    recipe = Recipe.assemble(
        JobSpec(identity=key, bundle="b" * 64),
        bundle="tiny",
        bundle_files={},
        label_maps={} if labels is None else {key: labels},
        outcomes={},
    )
    origins = {} if origin is None else {key: origin}
    return Retrieval(recipe=recipe, geometry=GEOMETRY, origins=origins, folder=folder)


def test_portrait_is_found_by_content_whatever_its_name(tmp_path: Path) -> None:
    pixels = noise(1, 90, 90)
    (tmp_path / "renamed.png").write_bytes(encode_png(pixels))
    (tmp_path / "other.png").write_bytes(encode_png(noise(2, 90, 90)))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    key = portrait_key(fit_portrait(pixels, SIDE, name="x"))
    assert search(tmp_path, key).find(nowhere)[key].name == "renamed.png"


def test_portrait_is_cut_out_of_its_photograph_again(tmp_path: Path) -> None:
    photo = noise(3, 190, 220)
    cut = align_face(photo, landmarks(), size=SIDE)
    assert np.array_equal(cut_again(photo, cut.crop), cut.pixels)
    (tmp_path / "photo.png").write_bytes(encode_png(photo))
    key = portrait_key(cut.pixels)
    origin = PortraitOrigin(key=key, name="photo.png", crop=cut.crop.to_json())
    found = search(tmp_path, key, origin=origin).find(nowhere)[key]
    assert found.crop == cut.crop


def test_large_photograph_that_was_shrunk_first_is_cut_again_alike() -> None:
    photo = np.kron(noise(3, 19, 22), np.ones((240, 240, 1), dtype=np.uint8))
    cut = align_face(photo, landmarks(24.0), size=SIDE)
    assert cut.crop.shrink > 1
    assert np.array_equal(cut_again(photo, cut.crop), cut.pixels)


def test_crop_of_another_photograph_is_refused() -> None:
    cut = align_face(noise(3, 190, 220), landmarks(), size=SIDE)
    with pytest.raises(InputError, match="give the one that was cut"):
        cut_again(noise(3, 190, 221), cut.crop)


@pytest.mark.parametrize("name", ["a.labels.png", "map.png"])
def test_portrait_with_its_own_label_map_is_found(tmp_path: Path, name: str) -> None:
    pixels = noise(4, SIDE, SIDE)
    labels = np.full((SIDE, SIDE), int(Region.HAIR), dtype=np.uint8)
    labels[:9] = int(Region.SKIN)
    own = fit_label_map(labels, GEOMETRY.label_size, name="m", width=SIDE, height=SIDE)
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    (tmp_path / name).write_bytes(encode_labels(labels))
    key = portrait_key(pixels, own)
    found = search(tmp_path, key, labels="d" * 64).find(nowhere)[key]
    assert found.labels_png == encode_labels(own)


def test_store_is_asked_for_what_no_file_holds(tmp_path: Path) -> None:
    pixels = noise(5, SIDE, SIDE)
    key = portrait_key(pixels)
    kept = Picture(key=key, name="k", width=SIDE, height=SIDE, size=SIDE, png=encode_png(pixels))
    assert search(tmp_path, key).find({key: kept}.get) == {key: kept}


def test_missing_portrait_is_named(tmp_path: Path) -> None:
    key = portrait_key(noise(6, SIDE, SIDE))
    origin = PortraitOrigin(key=key, name="anna.png")
    with pytest.raises(InputError, match=r"anna\.png\) is missing, no picture"):
        search(tmp_path, key, origin=origin).find(nowhere)
    data = io.BytesIO()
    Image.fromarray(noise(7, SIDE, SIDE)).save(data, "PNG")
    (tmp_path / "anna.png").write_bytes(data.getvalue())
    with pytest.raises(InputError, match="holds another picture"):
        search(tmp_path, key, origin=origin).find(nowhere)
    with pytest.raises(InputError, match="cannot be read"):
        search(tmp_path / "gone", key).find(nowhere)

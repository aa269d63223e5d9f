"""A folder of drawn people."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.faces.gallery import write_faces
from barber.faces.renderer import face_params, render, sample_z


def test_writes_portraits_labels_params_and_index(tmp_path):
    out = tmp_path / "new" / "faces"
    write_faces(out, count=3, seed=4, size=32)
    person = face_params(sample_z(np.random.default_rng(4), 3)[2])
    drawn = render(person, 32)
    assert np.array_equal(np.asarray(Image.open(out / "face-0002.png")), drawn.pixels)
    labels = Image.open(out / "face-0002.labels.png")
    assert labels.mode == "P"
    assert np.array_equal(np.asarray(labels), drawn.label_map)
    assert json.loads((out / "face-0002.json").read_text()) == person.to_json()
    with (out / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["face-0000", "face-0001", "face-0002"]
    assert all((out / row["portrait"]).exists() for row in rows)


def test_the_same_arguments_give_the_same_files(tmp_path):
    for name in ("one", "two"):
        write_faces(tmp_path / name, count=2, seed=9, size=32)
    first = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}


def test_refuses_a_folder_with_contents(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_faces(tmp_path, count=1, seed=0, size=32)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_refuses_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        write_faces(tmp_path / "file" / "faces", count=1, seed=0, size=32)


@pytest.mark.parametrize(
    ("count", "seed", "size", "named"), [(0, 0, 32, "0 faces"), (1, -1, 32, "-1"), (1, 0, 5, "5")]
)
def test_refuses_arguments_out_of_range(tmp_path, count, seed, size, named):
    with pytest.raises(InputError, match=named):
        write_faces(tmp_path / "out", count=count, seed=seed, size=size)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("barber.faces.gallery._write_pictures", stop)
    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path / "out", 3, 0, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not any((tmp_path / "out").iterdir())
    monkeypatch.undo()
    write_faces(tmp_path / "out", 1, 0, 16)

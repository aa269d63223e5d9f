"""The drawing of a training's curves."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from barber.errors import InputError
from barber.faces.curves import draw_curves

GENERATOR = (
    "images,side,psnr_db,mixed_psnr_db,loss,time\n"
    "4000,64,16.4,16.0,0.8,1\n8000,64,18.0,17.5,0.5,2\n"
)
SHARP = "images,side,psnr_db,mixed_psnr_db,loss,time\n4000,64,17.8,17.4,0.4,3\n"
PARSER = "images,skin,hair,mean,loss,time\n8000,0.90,0.93,0.9,0.2,1\n16000,0.95,0.96,0.9,0.1,2\n"


def test_every_curve_is_there_with_its_last_value(tmp_path):
    for name, text in (("generator", GENERATOR), ("sharp", SHARP), ("parser", PARSER)):
        (tmp_path / f"{name}.csv").write_text(text)
    drawn = draw_curves(tmp_path)
    ElementTree.fromstring(drawn)  # well-formed
    words = re.findall(r'fill="#\w+">([^<]+)</text>', drawn)
    assert words == [
        "trained 18", "trained, mixed 17.5", "sharpened 17.8", "sharpened, mixed 17.4",
        "skin 0.95", "hair 0.96",
    ]  # fmt: skip
    assert ">12k<" in drawn, "sharpening comes after the 8000 images of the training"


def test_higher_scores_are_drawn_higher(tmp_path):
    (tmp_path / "generator.csv").write_text(GENERATOR)
    first = re.search(
        r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" fill="none"', draw_curves(tmp_path)
    )
    assert first is not None
    x1, y1, x2, y2 = map(float, first.groups())
    assert x1 < x2 and y1 > y2


def test_folder_without_curves_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no generator\.csv: name the folder of a training"):
        draw_curves(tmp_path)

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from barber.artifacts import Portrait
from barber.errors import CheckpointError
from barber.manifest import SHIPPED, read_manifest
from barber.models.bundle import ModelBundle
from barber.models.parsing import PortraitParser
from barber.pixels import portrait_key
from barber.preflight.checks import Judge
from barber.preflight.findings import Verdict
from barber.preflight.measures import Subject, measure_all
from barber.preflight.thresholds import DEFAULT
from barber.stages.pictures import photograph_labels
from barber.standalone.preflight import LazyParser, bundle_preflight
from tests.support.drawn import drawn

BUNDLE = SHIPPED / "rendered-128"


def subject(number: int) -> Subject:
    pixels = drawn(number).pixels
    return Subject(key=portrait_key(pixels), name=f"{number}.png", pixels=lambda: pixels)


def test_parser_alone_makes_the_label_maps_that_the_stages_see() -> None:
    bundle, pictures = ModelBundle.load(BUNDLE), [drawn(8).pixels, drawn(35).pixels]
    for pixels, label_map in zip(pictures, PortraitParser(BUNDLE)(pictures), strict=True):
        portrait = Portrait(sha256=portrait_key(pixels), pixels=pixels)
        assert np.array_equal(label_map, photograph_labels(bundle, portrait)[0].numpy())


def test_shipped_bundle_refuses_no_drawn_face() -> None:
    geometry = read_manifest(BUNDLE).geometry
    subjects = {s.key: s for s in (subject(number) for number in range(16))}
    measured = measure_all(subjects.values(), geometry, parse=LazyParser(BUNDLE))
    judge = Judge(subjects, measured, geometry, thresholds=DEFAULT)
    verdicts = {finding.verdict for key in subjects for finding in judge.portrait(key)}
    assert verdicts == {Verdict.PASS}


def test_measures_are_kept_in_a_home_that_exists(tmp_path: Path) -> None:
    manifest = read_manifest(BUNDLE)
    assert bundle_preflight(BUNDLE, manifest, home=tmp_path / "gone").cache is None
    preflight = bundle_preflight(BUNDLE, manifest, home=tmp_path)
    assert preflight.cache is not None
    measure_all([subject(8)], manifest.geometry, parse=preflight.parse, cache=preflight.cache)
    assert len(list((tmp_path / "preflight").rglob("*.json"))) == 1
    assert bundle_preflight(BUNDLE, manifest, home=tmp_path, parse=False).parse is None


def test_bundle_without_its_parser_is_said(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((BUNDLE / "manifest.json").read_bytes())
    with pytest.raises(CheckpointError, match="segmenter"):
        LazyParser(tmp_path)([drawn(8).pixels])


def test_torch_is_not_loaded_before_a_portrait_is_parsed() -> None:
    code = "import sys, barber.standalone.preflight as p; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

from __future__ import annotations

import numpy as np
import pytest

from barber.evaluation.batch import Finished
from barber.evaluation.cases import Case, Counts, Experiment, Material, Stratum, draw_material
from barber.evaluation.features import Distances
from barber.evaluation.measure import Measured, Studio, measure
from barber.evaluation.methods import FULL, choose
from barber.evaluation.metrics import PSNR_CAP_DB
from barber.evaluation.sheets import BEST, MIDDLE, WORST, draw_sheets
from barber.labels import Region
from barber.manifest import read_manifest
from barber.models.parsing import PortraitParser
from barber.pixels import decode, encode_png
from barber.spec import PRESETS
from tests.support.system import write_tiny_bundle

SIZE = 64
CHOSEN = choose(["cut-and-paste", "unedited"], PRESETS["official"])


class ByBrightness:
    """A parser that knows one thing: what is dark and high up is hair."""

    def __call__(self, portraits: list[np.ndarray]) -> list[np.ndarray]:
        high = (np.arange(SIZE) < SIZE // 3)[:, None]
        dark = [(portrait.mean(axis=2) < 120) & high for portrait in portraits]
        return [np.where(mask, Region.HAIR, Region.SKIN).astype(np.uint8) for mask in dark]


@pytest.fixture(scope="module")
def distances(tmp_path_factory: pytest.TempPathFactory) -> Distances:
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(path)
    PortraitParser(path)  # the real one loads what the bundle holds
    return Distances(path, read_manifest(path))


@pytest.fixture(scope="module")
def drawn() -> Material:
    return draw_material(0, Counts(images=6, pairs=2, triples=2), SIZE)


def studio(material: Material, distances: Distances, results: dict[str, np.ndarray]) -> Studio:
    return Studio(
        material=material,
        chosen=CHOSEN,
        finished=Finished(
            batch_id=1, results={job: job for job in results}, failures={}, ran={}, reused={}
        ),
        size=SIZE,
        load=lambda job: encode_png(results[job]),
        parser=ByBrightness(),  # type: ignore[arg-type]
        distances=distances,
    )


def perfect(material: Material) -> dict[str, np.ndarray]:
    """Jobs that made exactly the truth, and reconstructions that lost nothing."""
    made = {}
    for case in material.cases:
        truth = material.truth(case, SIZE)
        assert truth is not None
        made[Experiment.TRANSFER.job(case.name, FULL)] = truth.pixels
    for key, name in material.names.items():
        pixels = decode(material.pictures[key].png, name=name)
        made[Experiment.RECONSTRUCTION.job(name, FULL)] = pixels
    return made


def of(rows: tuple[Measured, ...], method: str, experiment: Experiment) -> list[Measured]:
    return [row for row in rows if row.method == method and row.experiment is experiment]


def test_the_truth_itself_is_beyond_reproach(drawn: Material, distances: Distances) -> None:
    told: list[tuple[int, int]] = []
    found = measure(
        studio(drawn, distances, perfect(drawn)), lambda done, of: told.append((done, of))
    )
    for row in of(found.rows, FULL, Experiment.TRANSFER):
        assert row.values["psnr"] == row.values["psnr_inside"] == PSNR_CAP_DB
        assert row.values["rmse"] == row.values["vgg"] == row.values["lpips"] == 0
        assert row.values["ssim"] == pytest.approx(1)
    kept = of(found.rows, FULL, Experiment.RECONSTRUCTION)
    assert kept and all(row.values["psnr"] == PSNR_CAP_DB for row in kept)
    assert told[-1] == (4, 4) and found.ceiling is not None
    assert set(found.frechet.values()) == {None}  # too few


def test_the_unedited_portrait_is_right_outside_and_wrong_inside(
    drawn: Material, distances: Distances
) -> None:
    found = measure(studio(drawn, distances, perfect(drawn)), lambda *_: None)
    for row in of(found.rows, "unedited", Experiment.TRANSFER):
        assert row.values["psnr_outside"] == PSNR_CAP_DB
        assert row.values["psnr_inside"] < row.values["psnr"] < 40


def test_a_failed_job_is_measured_nowhere(drawn: Material, distances: Distances) -> None:
    results = perfect(drawn)
    lost = drawn.cases[0].name
    del results[Experiment.TRANSFER.job(lost, FULL)]
    found = measure(studio(drawn, distances, results), lambda *_: None)
    ours = of(found.rows, FULL, Experiment.TRANSFER)
    assert lost not in {row.case for row in ours} and len(ours) == len(drawn.cases) - 1
    assert len(of(found.rows, "unedited", Experiment.TRANSFER)) == len(drawn.cases)


def test_without_a_truth_only_what_can_be_known_is_told(
    drawn: Material, distances: Distances
) -> None:
    own = Material(
        source="pictures",
        pictures=drawn.pictures,
        names=drawn.names,
        cases=tuple(
            Case(name=c.name, identity=c.identity, hair=c.hair, colour=c.colour)
            for c in drawn.cases
        ),
    )
    found = measure(studio(own, distances, perfect(drawn)), lambda *_: None)
    for row in of(found.rows, "unedited", Experiment.TRANSFER):
        assert set(row.values) <= {"hair_iou", "psnr_outside"}
        assert row.values["psnr_outside"] == PSNR_CAP_DB and row.stratum in Stratum
    for row in of(found.rows, FULL, Experiment.RECONSTRUCTION):
        assert {"rmse", "psnr", "ssim", "vgg", "lpips"} == set(row.values)
    assert found.ceiling is None


def test_sheets_hold_pictures_of_every_case(drawn: Material, distances: Distances) -> None:
    room = studio(drawn, distances, perfect(drawn))
    rows = measure(room, lambda *_: None).rows
    sheets = draw_sheets(room, rows, "n = 4")
    assert {name: count for name, (_, count) in sheets.items()} == {WORST: 4}
    picture = decode(sheets[WORST][0], name="sheet")
    assert picture.shape[1] > 700 and picture.std() > 20
    assert MIDDLE not in sheets and BEST not in sheets

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from barber.evaluation.batch import Finished
from barber.evaluation.cases import Case, Experiment, Material, Stratum
from barber.evaluation.features import Titles
from barber.evaluation.measure import Measured, Measurements
from barber.evaluation.methods import FULL, choose
from barber.evaluation.outcome import Facts, Report
from barber.evaluation.report import FIGURES, write_report
from barber.evaluation.sheets import BEST, MIDDLE, WORST, chosen_cases
from barber.evaluation.summary import difference, metrics, values, worst_first
from barber.photographs.picture import Picture
from barber.spec import PRESETS, PortraitKey

ONE, TWO = PortraitKey("1" * 64), PortraitKey("2" * 64)
PSNR = metrics("v", "l")[1]
RMSE = metrics("v", "l")[0]
CASES = 24


def picture(key: PortraitKey) -> Picture:
    return Picture(key=key, name="x.png", width=64, height=64, size=64, png=b"")


def measured(method: str, better_by: float, *, fails: str = "") -> list[Measured]:
    rows = []
    for number in range(CASES):
        name = f"pair-{number:03d}"
        psnr = 20 + number + better_by + 0.1 * np.sin(number)
        if name != fails:
            rows.append(
                Measured(
                    experiment=Experiment.TRANSFER,
                    case=name,
                    method=method,
                    stratum=list(Stratum)[number % 2],
                    values={"psnr": psnr, "rmse": 10 ** (-psnr / 20)},
                )
            )
    return rows


def report(fails: str = "") -> Report:
    rows = [*measured(FULL, 0, fails=fails), *measured("cut-and-paste", 1), *measured("no-fs", -2)]
    kept = Measured(
        experiment=Experiment.RECONSTRUCTION,
        case="person-001",
        method=FULL,
        stratum=None,
        values={"psnr": 31.25},
    )
    return Report(
        facts=Facts(
            bundle="small",
            digest="abcdef0123456789",
            preset="demo",
            settings=(),
            seed=5,
            noise="fresh",
            software="Barbershop 0",
        ),
        material=Material(
            source="nowhere <really>",
            pictures={key: picture(key) for key in (ONE, TWO)},
            names={ONE: "person-001", TWO: "person-002"},
            cases=tuple(
                Case(name=f"pair-{n:03d}", identity=ONE, hair=TWO, colour=TWO) for n in range(CASES)
            ),
            drawn={},
        ),
        chosen=choose(["no-fs", "cut-and-paste"], PRESETS["official"]),
        finished=Finished(
            batch_id=3,
            results={},
            failures={f"transfer/{fails}/full": "the disk is full"} if fails else {},
            ran={"reconstruct": 4},
            reused={"reconstruct": 20},
        ),
        measured=Measurements(
            rows=(*rows, kept), frechet={(Experiment.TRANSFER, FULL): None}, ceiling=0.97
        ),
        titles=Titles(
            vgg="feature distance",
            lpips="weighted feature distance",
            frechet="Fréchet distance of features",
            notes=("Own features.",),
        ),
        sheets={WORST: 4, MIDDLE: 2, BEST: 2},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    folder = tmp_path_factory.mktemp("report")
    (folder / FIGURES).mkdir()
    html, markdown = write_report(folder, report())
    return html.read_text(), markdown.read_text(), folder


def test_worst_cases_come_before_every_number_and_the_best_after(page) -> None:
    for text in page[:2]:
        places = [text.index(f"{sheet}.jpg") for sheet in (WORST, MIDDLE, BEST)]
        assert places == sorted(places)
        assert places[0] < text.index("All cases") < places[1]


def test_every_table_and_figure_says_what_it_is_of(page) -> None:
    blocks = page[1].split("\n\n")
    shown = [k for k, block in enumerate(blocks) if block.startswith(("| ", "!["))]
    assert len(shown) >= 9
    for k in shown:
        stamp = blocks[k + 1]
        ours = "n = " in stamp or " of n = " in stamp
        facts = all(
            fact in stamp for fact in ("seed 5", "preset demo", "bundle small abcdef012345")
        )
        assert (ours and facts) or "published, not measured here" in stamp, stamp


def test_what_beats_the_method_is_said_first(page) -> None:
    text = page[1]
    ahead, behind = text.index("cut-and-paste is ahead of full"), text.index("full is ahead of no-")
    assert ahead < behind


def test_own_features_are_never_headed_lpips_or_fid(page) -> None:
    heads = [line for line in page[1].splitlines() if line.startswith("| method |")]
    assert heads and not any("LPIPS" in line or "FID" in line for line in heads)
    assert "is not told below 100 pictures" in page[1]


def test_published_numbers_stand_apart_and_are_marked(page) -> None:
    text = page[1]
    for number in ("29.91", "22.28", "26.51", "23.53"):
        assert number in text
    assert "Published, on other data" in text


def test_numbers_are_kept_for_machines(page) -> None:
    data = json.loads((page[2] / "measurements.json").read_text())
    assert data["seed"] == 5 and len(data["measured"]) == 3 * CASES + 1
    assert data["bundle"]["digest"] == "abcdef0123456789"
    assert not {"lpips", "vgg"} & set().union(*data["measured"]), "those are other networks' names"


def test_failed_jobs_are_told_before_the_numbers(tmp_path: Path) -> None:
    (tmp_path / FIGURES).mkdir()
    _, markdown = write_report(tmp_path, report(fails="pair-003"))
    text = markdown.read_text()
    assert text.index("1 jobs did not finish") < text.index("worst.jpg")
    assert "the disk is full" in text


def test_difference_is_over_the_cases_that_both_finished() -> None:
    rows = report(fails="pair-003").measured.rows
    full = values(rows, Experiment.TRANSFER, FULL, "psnr")
    other = values(rows, Experiment.TRANSFER, "cut-and-paste", "psnr")
    found = difference(other, full, PSNR)
    assert found is not None and found.estimate.n == CASES - 1 == found.wins
    assert found.estimate.mean == pytest.approx(1) and found.verdict(PSNR) == "better"
    error = {case: -value for case, value in other.items()}
    worse = difference({case: -value for case, value in full.items()}, error, RMSE)
    assert worse is not None and worse.verdict(RMSE) == "worse" and worse.wins == 0
    assert difference({}, full, PSNR) is None


def test_worst_is_what_is_farthest_from_the_truth() -> None:
    ordered, metric = worst_first(report().measured.rows)
    assert metric == "psnr" and ordered == sorted(ordered) and len(ordered) == CASES


@pytest.mark.parametrize("count", [1, 4, 6, 7, 12, 198])
def test_no_case_stands_on_two_sheets_and_the_median_is_in_the_middle(count: int) -> None:
    ordered = [f"{n:03d}" for n in range(count)]
    sheets = chosen_cases(ordered)
    shown = [name for names in sheets.values() for name in names]
    assert len(shown) == len(set(shown)) == min(count, 8)
    assert sheets[WORST] == ordered[:4]
    if count > 8:
        assert sheets[BEST] == [ordered[-1], ordered[-2]]
        assert set(sheets[MIDDLE]) == set(ordered[count // 2 - 1 : count // 2 + 1])

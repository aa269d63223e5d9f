"""What `make conformance` prints and how it ends, above all on a set that is damaged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from barber.stages import masks
from tests.conformance.compare import Held, Verdict, describe, judge
from tests.conformance.conftest import FEW_FILE as FILE
from tests.conformance.conftest import FEW_NAMES as NAMES
from tests.conformance.conftest import HERE, OWN
from tests.conformance.runner import main
from tests.conformance.vectors import Entry, Rule

Change = Callable[[Path], None]
RUN = {"steps": 2, "fill_steps": 1, "smooth": 5, "mode": "realistic", "lr": 0.01}


def rewritten(**changes: Callable[[Any], Any] | None) -> Change:
    """Changes arrays of the file; None takes one away."""

    def change(folder: Path) -> None:
        arrays = dict(np.load(folder / FILE))
        for name, how in changes.items():
            if how is None:
                del arrays[name]
            else:
                arrays[name] = how(arrays.get(name))
        np.savez_compressed(folder / FILE, **arrays)

    return change


def edited(path: str, value: Any = None) -> Change:
    """Changes the manifest at a path of keys; None takes the key away."""

    def change(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        at, keys = manifest, path.split("|")
        for key in keys[:-1]:
            at = at[key]
        if value is None:
            del at[keys[-1]]
        else:
            at[keys[-1]] = value
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


def flipped(array: Any) -> Any:
    return np.where(np.arange(array.size).reshape(array.shape) == 7, 1 - array, array).astype(
        array.dtype
    )


def cut(folder: Path) -> None:
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[: len(data) // 2])


def no_archive(folder: Path) -> None:
    (folder / FILE).write_bytes(b"no zip")


LISTED = f"files|{FILE}|arrays|dilate_1"
DAMAGES = {
    "a value beyond the limit": (
        rewritten(dilate_1=flipped),
        r"MISS +masks.npz:dilate_1 +1.53e-05 differ +exact",
    ),
    "a damaged input": (rewritten(morph_in=lambda a: 1 - a), r"MISS +masks.npz:erode_5 .*differ"),
    "a nan": (
        rewritten(dilate_3=lambda a: np.full(a.shape, np.nan, np.float32)),
        r"MISS +masks.npz:dilate_3 .*stored as float32",
    ),
    "a missing array": (
        rewritten(dilate_3=None),
        r"MISS +masks.npz:dilate_3 .*in the manifest, not in",
    ),
    "a surplus array": (
        rewritten(more=lambda _: np.zeros(3)),
        r"MISS +masks.npz:more .*not in the manifest",
    ),
    "an array of objects": (
        rewritten(dilate_3=lambda _: np.array([{}])),
        r"MISS +masks.npz:dilate_3 .*cannot be read",
    ),
    "an array of words": (
        rewritten(dilate_3=lambda _: np.array("no")),
        r"MISS +masks.npz:dilate_3 .*not all",
    ),
    "a missing file": (
        lambda f: (f / FILE).unlink(),
        r"MISS +masks.npz:dilate_3 .*masks.npz is missing",
    ),
    "a truncated file": (cut, r"MISS +masks.npz:dilate_3 .*masks.npz cannot be read"),
    "a file that is no archive": (
        no_archive,
        r"MISS +masks.npz:dilate_3 .*masks.npz cannot be read",
    ),
    "a file that is not listed": (
        lambda f: np.savez(f / "more.npz", a=np.zeros(2)),
        r"MISS +more.npz .*not in the manifest",
    ),
    "an entry without its rule": (
        edited(f"{LISTED}|compare"),
        r"MISS +masks.npz:dilate_1 .*no 'compare'",
    ),
    "a rule without its limit": (
        edited(f"{LISTED}|compare", {"metric": "max_rel"}),
        r"MISS +masks.npz:dilate_1 .*no 'limit'",
    ),
    "a limit that is no number": (
        edited(f"{LISTED}|compare", {"metric": "max_rel", "limit": "low"}),
        r"MISS +masks.npz:dilate_1 .*'limit' is 'low'",
    ),
    "an unknown metric": (
        edited(f"{LISTED}|compare", {"metric": "taste", "limit": 1}),
        r"MISS +masks.npz:dilate_1 .*'taste' is none of",
    ),
    "another shape": (
        edited(f"{LISTED}|shape", [256, 1]),
        r"MISS +masks.npz:dilate_1 .*listed as uint8 \[256, 1\]",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_line_with_its_reason_and_an_exit_code(
    few: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    change, line = DAMAGES[damage]
    assert main(["--vectors", str(few)]) == 0
    capsys.readouterr()
    change(few)

    assert main(["--vectors", str(few)]) == 1
    printed = capsys.readouterr().out
    assert re.search(line, printed), printed
    assert len([p for p in printed.splitlines() if "masks.npz:" in p]) >= len(NAMES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: (f / "manifest.json").unlink(), "does not exist"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[]"), "no JSON object"),
        (edited("salt"), "has no 'salt'"),
        (edited("files"), "has no 'files'"),
        (edited(f"files|{FILE}|arrays"), "has no 'arrays'"),
        (edited("format", 9), "format 9"),
    ],
)
def test_a_set_that_cannot_be_read_is_one_sentence(
    few: Path, capsys: pytest.CaptureFixture[str], change: Change, sentence: str
) -> None:
    change(few)

    assert main(["--vectors", str(few)]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert not said.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["losses"], "matches no array of the set"),
        (["masks:no*"], "matches no array of the set"),
        (["--device", "cuda:93"], "cannot be used here"),
        (["--device", "toaster"], "cannot be used here"),
        (["--threads", "0"], "at least"),
        (["masks", "--write", "page.md"], "the whole set"),
        (["--write", "nowhere/page.md"], "no such folder"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(
    few: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["--vectors", str(few), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_an_array_that_no_case_computes_is_a_miss(
    few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((few / "manifest.json").read_text())["files"][FILE]["arrays"]["dilate_1"]
    edited("files|novel.npz", {"arrays": {"hat": facts}})(few)
    np.savez(few / "novel.npz", hat=np.zeros((256, 256), np.uint8))

    assert main(["--vectors", str(few)]) == 1
    assert re.search(r"MISS +novel.npz:hat .*no case computes it", capsys.readouterr().out)


def test_a_case_that_fails_is_a_line_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(mask: Tensor, steps: int) -> Tensor:
        raise RuntimeError("out of order")

    monkeypatch.setattr(masks, "erode", broken)

    assert main(["--vectors", str(OWN), "masks:erode_5", "masks:T"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"MISS +masks.npz:erode_5 .*its case failed: RuntimeError: out of", printed)
    assert re.search(r"ok +masks.npz:T ", printed)


def test_a_pattern_chooses_files_and_arrays(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--vectors", str(few), "masks:*_5", "mas?s.npz:dilate_3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ["masks.npz:erode_5", "masks.npz:dilate_3"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "has no 'trajectory_256'"),
        ({"trajectory_256": {"steps": 2}}, "trajectory_256 has no 'fill_steps'"),
        ({"trajectory_256": {**RUN, "steps": 0}}, "at least one step"),
        ({"trajectory_256": {**RUN, "lr": "fast"}}, "'fast': a number is needed"),
        ({"trajectory_256": {**RUN, "mode": "fancy"}}, "'fancy': use one of realistic, fidelity"),
        ({"trajectory_256": {**RUN, "smooth": -1}}, "-1: a finite int"),
    ],
)
def test_settings_of_a_trajectory_that_cannot_be_meant_are_its_lines(
    few: Path, capsys: pytest.CaptureFixture[str], settings: Any, sentence: str
) -> None:
    own = json.loads((OWN / "manifest.json").read_text())["files"]["trajectory_256.npz"]
    edited("files|trajectory_256.npz", own)(few)
    edited("settings", settings)(few)
    shutil.copy(OWN / "trajectory_256.npz", few)

    assert main(["--vectors", str(few), "trajectory_256:loss/*"]) == 1
    printed = capsys.readouterr().out
    assert re.search(rf"MISS +trajectory_256.npz:loss/blend .*{re.escape(sentence)}", printed)


@pytest.mark.slow
def test_make_takes_the_folder_from_the_environment_and_fails_on_a_miss(few: Path) -> None:
    rewritten(dilate_1=flipped)(few)
    ran = subprocess.run(
        ["make", "conformance"],
        env={**os.environ, "BARBER_VECTORS": str(few)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode != 0
    assert "MISS   masks.npz:dilate_1" in ran.stdout
    assert "Traceback" not in ran.stderr


def entry(rule: Rule, reference: Any) -> Entry:
    array = np.asarray(reference)
    return Entry(
        file="f", name="n", shape=array.shape, dtype=array.dtype.name, meaning="", rule=rule
    )


def verdict(rule: Rule, mine: Any, reference: Any) -> Verdict:
    return judge(entry(rule, reference), np.asarray(reference), np.asarray(mine)).verdict


@pytest.mark.parametrize(
    ("rule", "fine", "too_far", "reference"),
    [
        (Rule(metric="max_rel", limit=0.1), [1.0, 10.9], [1.0, 11.2], [0.0, 10.0]),
        (Rule(metric="max_rel", limit=0.1), [0.0, 0.0], [0.0, 1e-9], [0.0, 0.0]),
        (Rule(metric="rms_rel", limit=0.1), [3.2, 4.2], [3.9, 4.0], [3.0, 4.0]),
        (Rule(metric="mismatch", limit=0.5), [1, 2], [2, 2], [1, 1]),
        (Rule(metric="outliers", limit=0.5, atol=0.1), [1.09, 9.0], [1.2, 9.0], [1.0, 1.0]),
        (Rule(metric="bytes", limit=0.5, atol=2), [3, 1], [4, 1], [1, 1]),
        (Rule(metric="bytes", limit=0.4, atol=2), [1, 1], [2, 1], [1, 1]),
        (Rule(metric="exact"), [1, 2], [1, 3], [1, 2]),
    ],
)
def test_a_metric_keeps_to_its_limit(rule: Rule, fine: Any, too_far: Any, reference: Any) -> None:
    assert verdict(rule, fine, reference) is Verdict.OK
    assert verdict(rule, too_far, reference) is Verdict.MISS
    if rule.metric != "mismatch":
        assert verdict(rule, [np.nan, 1.0], reference) is Verdict.MISS


def test_the_first_step_has_a_limit_of_its_own() -> None:
    rule, reference = Rule(metric="max_rel", limit=0.1, first_limit=0.001), [[10.0, 1], [100, 1]]

    assert verdict(rule, [[10.009, 1], [109, 1]], reference) is Verdict.OK
    assert verdict(rule, [[10.1, 1], [100, 1]], reference) is Verdict.MISS
    assert describe(rule) == "max_rel 0.1, first step 0.001"


def test_values_in_another_order_or_shape_are_not_reshaped_into_place() -> None:
    rule, reference = Rule(metric="max_rel", limit=1), np.ones((2, 3))

    assert verdict(rule, np.ones((1, 2, 3)), reference) is Verdict.OK
    assert verdict(rule, np.ones((3, 2)), reference) is Verdict.MISS
    assert verdict(rule, np.ones(5), reference) is Verdict.MISS


def test_labels_are_held_exactly_where_they_are_clear() -> None:
    reference, where = np.array([1, 2, 3]), np.array([True, True, False])
    rule = entry(Rule(metric="mismatch", limit=0.9), reference)

    def held(*values: int) -> Verdict:
        mine = Held(values=np.array(values), exact_where=where, where="where clear")
        return judge(rule, reference, mine).verdict

    assert held(1, 2, 9) is Verdict.OK
    assert held(9, 2, 3) is Verdict.MISS

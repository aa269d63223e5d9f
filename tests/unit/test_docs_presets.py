"""docs/presets.md is true: presets, every parameter with its default, a test of every quirk."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from barber.spec import PRESETS, NoiseMode, StageParams

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "presets.md").read_text()


def told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parameters() -> dict[str, object]:
    return {
        f"{stage.name}.{f.name}": getattr(getattr(StageParams(), stage.name), f.name)
        for stage in fields(StageParams)
        for f in fields(getattr(StageParams(), stage.name))
    }


def test_every_parameter_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert rows == {name: told(value) for name, value in parameters().items()}


def test_presets_are_the_table() -> None:
    rows = re.findall(r"^\|.*\(`(\w+)\.(\w+)`\) \| ([\d.]+) \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert len(rows) == 7
    for stage, name, official, paper in rows:
        for preset, value in (("official", official), ("paper", paper)):
            assert getattr(getattr(PRESETS[preset], stage), name) == float(value)


def test_each_quirk_names_a_test_that_exists_and_only_parameters_that_do() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 21))
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "unit").rglob("test_*.py"))
    known = parameters()
    for _, row in rows:
        assert all(name in known for name in re.findall(r"`([a-z]+\.[a-z_]+)`", row)), row
        tests = re.findall(r"`(test_\w+)`", row)
        assert tests and all(f"def {test}(" in sources for test in tests), row


def test_noise_modes_are_listed() -> None:
    assert all(f"| `{mode}` |" in PAGE for mode in NoiseMode)

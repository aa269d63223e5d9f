"""The command on a set with another salt, other names and other numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.conftest import VECTORS
from tests.conformance.recipe import Recipe
from tests.conformance.runner import main
from tests.conformance.second_set import FILES, WITHOUT_NETWORKS, write_set


def test_another_set_runs_by_its_own_salt_names_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path, Recipe(VECTORS), ("recipe_check", "masks", "losses"), only=WITHOUT_NETWORKS)

    assert main(["--vectors", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "salt ours-2" in printed
    for name in ("picture/another", "dilate_2", "bicubic_f8", "fidelity_M", "pass2_target"):
        assert f":{name} " in printed


@pytest.mark.slow
@pytest.mark.parametrize("stems", [FILES, ("trajectory_256",)], ids=["quick files", "trajectory"])
def test_another_set_with_networks_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stems: tuple[str, ...]
) -> None:
    write_set(tmp_path, Recipe(VECTORS), stems)

    assert main(["--vectors", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    wanted = ["mix_soft_smooth3", "inside_slice", "labels"]
    if "trajectory_256" in stems:
        wanted = ["w_plus_d", "loss/align_df:mask:cross_entropy_loss", "blend_t_after"]
        wanted.append("loss/align_realistic_de:mask:cross_entropy_loss_wo_background")
    for name in wanted:
        assert f":{name} " in printed

"""The command on a set with another salt, other names and other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conformance.cases.masks import PASS_LOGIT
from tests.conformance.conftest import OWN
from tests.conformance.recipe import Recipe
from tests.conformance.runner import main
from tests.conformance.second_set import FILES, WITHOUT_NETWORKS, write_set


def test_another_set_runs_by_its_own_salt_names_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path, Recipe(OWN), ("recipe_check", "masks", "losses"), only=WITHOUT_NETWORKS)

    assert main(["--vectors", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "salt ours-2" in printed
    for name in ("picture/another", "dilate_2", "bicubic_f8", "fidelity_M", "pass2_target"):
        assert f":{name} " in printed


def entropy(
    seen: NDArray[np.uint8], wanted: NDArray[np.int64], where: NDArray[np.bool_]
) -> np.float64:
    """The mean cross entropy of the passes' logits, by hand."""
    each = np.log(np.exp(PASS_LOGIT) + 15) - PASS_LOGIT * (seen == wanted)
    return np.float64(each[where].mean())


def test_a_set_in_which_nothing_is_hidden_has_two_passes_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = r"T|bgmap|pass2_target|.*_(M|losses)"
    write_set(tmp_path, Recipe(OWN), ("masks",), only=only)
    arrays = dict(np.load(tmp_path / "masks.npz"))
    a, g1, g2 = (arrays[name] for name in ("A", "g1", "g2"))
    arrays["R"] = r = np.where(np.isin(arrays["R"], (0, 10, 15)), arrays["R"], 0)
    first = np.where(r == 10, 10, np.where(a == 10, 0, a)).astype(np.int64)
    second = np.where((a == 10) & (r != 10), g1, first)
    stays = (a == 0) & (r != 10)
    passes = [(g1, first), (g2, second)]
    background = np.zeros_like(first)
    arrays |= {
        "T": first[None],
        "bgmap": (~stays).astype(np.int64)[None],
        "pass2_target": second[None],
        "realistic_M": second[None],
        "fidelity_M": second[None],
        "fidelity_losses": np.array([[entropy(g, t, t >= 0)] for g, t in passes]),
        "realistic_losses": np.array(
            [[entropy(g, t, t != 0), entropy(g, background, stays)] for g, t in passes]
        ),
    }
    np.savez_compressed(tmp_path / "masks.npz", **arrays)

    assert main(["--vectors", str(tmp_path), "masks"]) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("stems", [FILES, ("trajectory_256",)], ids=["quick files", "trajectory"])
def test_another_set_with_networks_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stems: tuple[str, ...]
) -> None:
    write_set(tmp_path, Recipe(OWN), stems)

    assert main(["--vectors", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    wanted = ["mix_soft_smooth3", "inside_slice", "labels"]
    if "trajectory_256" in stems:
        wanted = ["w_plus_d", "loss/align_df:mask:cross_entropy_loss", "blend_t_after"]
        wanted.append("loss/align_realistic_de:mask:cross_entropy_loss_wo_background")
    for name in wanted:
        assert f":{name} " in printed

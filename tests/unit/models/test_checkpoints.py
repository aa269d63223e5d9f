"""The official files' readers, on files of the official form with synthetic values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.geometry import Geometry
from barber.models import checkpoints
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures

GEOMETRY = Geometry(
    image_size=256,
    style_dim=8,
    mapping_layers=3,
    channels=((4, 6), (8, 6), (16, 5), (32, 4), (64, 3), (128, 2), (256, 2)),
    f_size=32,
    label_size=512,
    loss_size=256,
)


def generator_file(path: Path, **changes: object) -> Path:
    state = Generator(GEOMETRY).state_dict()
    torch.save({"g_ema": state, "latent_avg": torch.ones(8), "d": {}, **changes}, path)
    return path


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
def test_a_generator_file_gives_geometry_entries_and_mean(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = generator_file(tmp_path / "g.pt", latent_avg=torch.ones(shape))

    geometry, state, w_avg = checkpoints.official_generator(path)

    assert geometry == GEOMETRY
    assert torch.equal(w_avg, torch.ones(8))
    checkpoints.load_strict(Generator(geometry), state, "g.pt")


def test_the_official_sizes_are_recognised() -> None:
    with torch.device("meta"):
        state = Generator(Geometry.official(1024)).state_dict()

    assert checkpoints.geometry_of(state, "ffhq.pt") == Geometry.official(1024)


def test_a_mean_of_another_width_is_refused(tmp_path: Path) -> None:
    path = generator_file(tmp_path / "g.pt", latent_avg=torch.ones(7))

    with pytest.raises(CheckpointError, match=r"'latent_avg' has shape \(7,\), not \(8,\)"):
        checkpoints.official_generator(path)


def test_a_file_without_g_ema_is_refused(tmp_path: Path) -> None:
    torch.save({"g": {}, "latent_avg": torch.ones(8)}, tmp_path / "g.pt")

    with pytest.raises(CheckpointError, match="lacks 'g_ema'"):
        checkpoints.official_generator(tmp_path / "g.pt")


def test_entries_that_are_no_generator_are_refused(tmp_path: Path) -> None:
    path = generator_file(tmp_path / "g.pt", g_ema={"weight": torch.ones(1)})

    with pytest.raises(CheckpointError, match="holds no StyleGAN2 generator"):
        checkpoints.official_generator(path)


def test_a_generator_with_a_missing_entry_is_refused(tmp_path: Path) -> None:
    state = Generator(GEOMETRY).state_dict()
    del state["noises.noise_3"]
    path = generator_file(tmp_path / "g.pt", g_ema=state)

    with pytest.raises(CheckpointError, match=r"lacks 'noises\.noise_3'"):
        checkpoints.official_generator(path)


def test_a_file_that_could_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"g_ema": Path("x"), "latent_avg": torch.ones(8)}, tmp_path / "g.pt")

    with pytest.raises(CheckpointError, match="holds more than tensors, so it is not loaded"):
        checkpoints.official_generator(tmp_path / "g.pt")


def test_missing_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoints.official_segmenter(tmp_path / "none.pth")

    whole = generator_file(tmp_path / "g.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.pt"):
        checkpoints.official_generator(tmp_path / "cut.pt")

    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list, not a dict"):
        checkpoints.official_segmenter(tmp_path / "list.pth")


def test_a_parser_file_is_read_strictly(tmp_path: Path) -> None:
    state = Segmenter().state_dict()
    torch.save(state, tmp_path / "seg.pth")

    assert checkpoints.official_segmenter(tmp_path / "seg.pth").keys() == state.keys()

    state["conv_out.conv_out.weight"] = torch.ones(19, 256, 1, 1)
    torch.save(state, tmp_path / "seg.pth")
    with pytest.raises(CheckpointError, match=r"has shape \(19, 256, 1, 1\), not \(16, "):
        checkpoints.official_segmenter(tmp_path / "seg.pth")


def test_only_the_features_of_a_vgg_file_are_kept(tmp_path: Path) -> None:
    state = VGGFeatures().state_dict()
    torch.save({**state, "classifier.0.bias": torch.ones(1)}, tmp_path / "vgg.pth")

    assert checkpoints.official_vgg(tmp_path / "vgg.pth").keys() == state.keys()


def test_the_lpips_packages_own_heads_are_read() -> None:
    import lpips

    path = Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth"

    heads = checkpoints.official_heads(path)

    assert [tuple(h.shape[:2]) for h in heads.values()] == [(1, c) for c in VGGFeatures().channels]
    assert all(h.device.type == "cpu" for h in heads.values())


def arrays(d: int = 8) -> dict[str, np.ndarray]:
    return {
        "X_mean": np.zeros(d, np.float32),
        "X_comp": np.eye(d),
        "X_stdev": np.linspace(5, 0.1, d),
        "X_var_ratio": np.ones(d),
    }


def w_avg() -> Tensor:
    return torch.ones(8)


def test_pca_statistics_come_as_float32(tmp_path: Path) -> None:
    np.savez(tmp_path / "pca.npz", **arrays())

    found = checkpoints.official_pca(tmp_path / "pca.npz", w_avg())

    assert {found.mean.dtype, found.components.dtype, found.stdev.dtype} == {torch.float32}
    assert torch.equal(found.components, torch.eye(8))


def test_pca_statistics_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    np.savez(path, **arrays(9))
    with pytest.raises(CheckpointError, match="has shape"):
        checkpoints.official_pca(path, w_avg())

    np.savez(path, X_mean=np.zeros(8))
    with pytest.raises(CheckpointError, match="no file of PCA statistics"):
        checkpoints.official_pca(path, w_avg())

    path.write_bytes(b"PK damaged")
    with pytest.raises(CheckpointError, match="no file of PCA statistics"):
        checkpoints.official_pca(path, w_avg())

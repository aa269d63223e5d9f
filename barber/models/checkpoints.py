"""Weight files: how a bundle is written and read, and how the official files are read.

Source: method 6, 7 and 18. Every reader checks names, shapes and finiteness, and says in one
sentence which entry of which file is wrong. Pickled files are read with `weights_only`, so that a
file cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from barber.errors import CheckpointError
from barber.geometry import Geometry
from barber.losses.latent import PCAStatistics
from barber.manifest import MANIFEST_NAME, FileRecord, Manifest
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures

GENERATOR_FILE = "generator.safetensors"
SEGMENTER_FILE = "segmenter.safetensors"
PERCEPTUAL_FILE = "perceptual.safetensors"
STATISTICS_FILE = "statistics.safetensors"

LPIPS_HEAD = re.compile(r"lin\d+\.model\.1\.weight")


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads a state dict whose entries must match the module's one for one.

    Args:
        module: The network.
        state: Its entries.
        source: The file's name, for the message.

    Raises:
        CheckpointError: An entry is missing, surplus, of another shape, or not finite.
    """
    expected = module.state_dict()
    check_entries(state, {key: tuple(value.shape) for key, value in expected.items()}, source)
    module.load_state_dict(dict(state))


def check_entries(
    state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], source: str
) -> None:
    """Checks names, shapes and finiteness of tensors read from `source`."""
    missing, surplus = sorted(shapes.keys() - state.keys()), sorted(state.keys() - shapes.keys())
    if missing or surplus:
        what = f"lacks {missing[0]!r}" if missing else f"has a surplus entry {surplus[0]!r}"
        raise CheckpointError(
            f"{source} {what} ({len(missing)} missing, {len(surplus)} surplus): "
            "it holds another architecture"
        )
    for key, shape in shapes.items():
        if tuple(state[key].shape) != shape:
            raise CheckpointError(
                f"{source}: {key!r} has shape {tuple(state[key].shape)}, not {shape}: "
                "it holds another architecture"
            )
        if not bool(torch.isfinite(state[key]).all()):
            raise CheckpointError(f"{source}: {key!r} holds a value that is not finite")


def read_tensors(path: Path, record: FileRecord) -> dict[str, Tensor]:
    """Reads a safetensors file after comparing it with its record.

    Raises:
        CheckpointError: It is missing, of another length, of another digest, or unreadable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if len(data) != record.bytes:
        raise CheckpointError(
            f"{path} has {len(data)} bytes, not {record.bytes}: copy the bundle again"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != record.sha256:
        raise CheckpointError(
            f"{path} has sha256 {digest}, not {record.sha256}: copy the bundle again"
        )
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def split_perceptual(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The VGG features' entries and the LPIPS heads' entries of a perceptual file."""
    heads = {key: value for key, value in state.items() if LPIPS_HEAD.fullmatch(key)}
    return {key: value for key, value in state.items() if key not in heads}, heads


def check_statistics(
    state: Mapping[str, Tensor], style_dim: int, source: str
) -> tuple[PCAStatistics, Tensor]:
    """The statistics of w and its mean, from entries mean, components, stdev and w_avg.

    Raises:
        CheckpointError: An entry is missing or misshapen, or a standard deviation is not positive.
    """
    d = style_dim
    shapes = {"mean": (d,), "components": (d, d), "stdev": (d,), "w_avg": (d,)}
    check_entries(state, shapes, source)
    if not bool((state["stdev"] > 0).all()):
        raise CheckpointError(f"{source}: 'stdev' holds a value that is not positive")
    floats = {key: value.to(torch.float32) for key, value in state.items()}
    w_avg = floats.pop("w_avg")
    return PCAStatistics(**floats), w_avg


def write_bundle(
    path: Path,
    *,
    name: str,
    geometry: Geometry,
    generator: Generator,
    segmenter: Segmenter,
    vgg: VGGFeatures,
    heads: Mapping[str, Tensor],
    pca: PCAStatistics,
    w_avg: Tensor,
    presets: dict[str, dict[str, Any]],
    licence: str,
    source: str,
    scores: dict[str, float],
) -> Manifest:
    """Writes a bundle folder; it appears whole or not at all, replacing one of that name.

    Raises:
        CheckpointError: The folder cannot be written (no room, no permission).
    """
    statistics = {
        "mean": pca.mean,
        "components": pca.components,
        "stdev": pca.stdev,
        "w_avg": w_avg,
    }
    contents: dict[str, Mapping[str, Tensor]] = {
        GENERATOR_FILE: generator.state_dict(),
        SEGMENTER_FILE: segmenter.state_dict(),
        PERCEPTUAL_FILE: {**vgg.state_dict(), **heads},
        STATISTICS_FILE: statistics,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            manifest = Manifest(
                name=name,
                geometry=geometry,
                segmenter=segmenter.widths.to_json(),
                vgg=vgg.widths.to_json(),
                presets=presets,
                licence=licence,
                source=source,
                scores=scores,
                files={file: _write(folder / file, state) for file, state in contents.items()},
            )
            text = json.dumps(manifest.to_json(), indent=2, ensure_ascii=False)
            (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
            _put(folder, path, aside=Path(scratch) / "old")
    except OSError as error:
        raise CheckpointError(f"the bundle {path} cannot be written: {error}") from error
    return manifest


def _write(path: Path, state: Mapping[str, Tensor]) -> FileRecord:
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    path.write_bytes(safetensors.torch.save(plain))
    return FileRecord.of(path)


def _put(folder: Path, path: Path, *, aside: Path) -> None:
    """Moves the finished folder into place; an older one leaves with the scratch folder."""
    if path.exists():
        path.replace(aside)
    folder.replace(path)


# The official files. Their readers return checked entries; `barber.models` classes take them.


def official_generator(path: Path) -> tuple[Geometry, dict[str, Tensor], Tensor]:
    """Reads `ffhq.pt` or a sibling: geometry, the `g_ema` entries, and the mean latent [D]."""
    content = _unpickle(path)
    for key in ("g_ema", "latent_avg"):
        if key not in content:
            raise CheckpointError(
                f"{path} lacks {key!r}: it is no StyleGAN2 checkpoint of that port"
            )
    state = content["g_ema"]
    geometry = geometry_of(state, str(path))
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in Generator(geometry).state_dict().items()}
    check_entries(state, shapes, str(path))
    w_avg = content["latent_avg"].reshape(-1).float()
    check_entries({"latent_avg": w_avg}, {"latent_avg": (geometry.style_dim,)}, str(path))
    return geometry, dict(state), w_avg


def geometry_of(state: Mapping[str, Tensor], source: str) -> Geometry:
    """The sizes that a generator's entries imply, with the official F, label and loss sizes."""
    try:
        channels, size = [(4, state["input.input"].shape[1])], 8
        while (key := f"convs.{2 * (len(channels) - 1)}.conv.weight") in state:
            channels.append((size, state[key].shape[1]))
            size *= 2
        official = Geometry.official()
        return Geometry(
            image_size=channels[-1][0],
            style_dim=state["style.1.weight"].shape[1],
            mapping_layers=sum(bool(re.fullmatch(r"style\.\d+\.weight", k)) for k in state),
            channels=tuple(channels),
            f_size=official.f_size,
            label_size=official.label_size,
            loss_size=official.loss_size,
        )
    except (KeyError, IndexError, AttributeError) as error:
        raise CheckpointError(f"{source} holds no StyleGAN2 generator: {error}") from error


def official_segmenter(path: Path) -> dict[str, Tensor]:
    """Reads `seg.pth`: a bare state dict of the face parser at its default widths."""
    state = _unpickle(path)
    with torch.device("meta"):
        shapes = {key: tuple(v.shape) for key, v in Segmenter().state_dict().items()}
    check_entries(state, shapes, str(path))
    return state


def official_vgg(path: Path) -> dict[str, Tensor]:
    """Reads torchvision's VGG16: the `features.*` entries; the classifier's are left out."""
    state = {key: v for key, v in _unpickle(path).items() if key.startswith("features.")}
    with torch.device("meta"):
        shapes = {key: tuple(v.shape) for key, v in VGGFeatures().state_dict().items()}
    check_entries(state, shapes, str(path))
    return state


def official_heads(path: Path) -> dict[str, Tensor]:
    """Reads LPIPS's linear heads, `weights/v0.1/vgg.pth` of the lpips package."""
    state = _unpickle(path)
    with torch.device("meta"):
        channels = VGGFeatures().channels
    shapes = {f"lin{k}.model.1.weight": (1, c, 1, 1) for k, c in enumerate(channels)}
    check_entries(state, shapes, str(path))
    return state


def official_pca(path: Path, w_avg: Tensor) -> PCAStatistics:
    """Reads `ffhq_PCA.npz`; its float64 arrays are cast to float32.

    Args:
        path: The npz file.
        w_avg: The generator's mean latent [D]; tells which D to expect.
    """
    names = {"mean": "X_mean", "components": "X_comp", "stdev": "X_stdev"}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {
                key: torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
                for key, name in names.items()
            }
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is no file of PCA statistics: {error}") from error
    pca, _ = check_statistics({**state, "w_avg": w_avg}, len(w_avg), str(path))
    return pca


def _unpickle(path: Path) -> dict[str, Any]:
    """A pickled dict of tensors, on the CPU."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: see the list of weight files") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as a weight file: {error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, so it is not loaded: {error}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return content

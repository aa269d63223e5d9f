"""Readers of the public files that a bundle can be made of.

Source: method 5.2, 6, 7, 8 and 18; the 19-class face parser is the widespread CelebAMask-HQ BiSeNet
(`79999_iter.pth`), whose entries are those of `seg.pth` with wider heads. Each reader returns
float32 entries whose names, shapes and finiteness are checked; float64 is rounded to float32, and
half precision is refused.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from barber.errors import CheckpointError
from barber.geometry import Geometry
from barber.labels import LabelSet, class_labels
from barber.losses.latent import PCAStatistics
from barber.models.checkpoints import check_entries, check_finite, check_statistics
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator
from barber.models.untrusted import (
    DAMAGE,
    as_float32,
    check_archive,
    plain_tensors,
    read_pickle,
)
from barber.models.vgg import VGGFeatures

SIZES = (256, 512, 1024)
MULTIPLIERS = (1, 2)
VGG_CACHED = "vgg16-397923af.pth"  # as torchvision names it in its cache
VGG_ADDRESS = f"https://download.pytorch.org/models/{VGG_CACHED}"
VGG_CLASSIFIER = re.compile(r"classifier\.\d+\.(weight|bias)")
PCA_LIMIT_BYTES = 64 * 2**20  # thirty times the official file

# An entry that only this kind of file has, the option that it belongs to, and what it is.
KINDS = (
    ("g_ema", "--generator", "a StyleGAN2 checkpoint"),
    ("cp.resnet.conv1.weight", "--parser", "a face parser"),
    ("features.0.weight", "--vgg", "VGG features"),
    ("lin0.model.1.weight", "--lpips", "LPIPS heads"),
)
GENERATOR, PARSER, VGG, HEADS = (option for _, option, _ in KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorFile:
    """What a StyleGAN2 checkpoint of the PyTorch port holds for us."""

    geometry: Geometry
    state: dict[str, Tensor]  # of `Generator`
    w_avg: Tensor | None  # [D]; a checkpoint from training has none


def read_generator(path: Path) -> GeneratorFile:
    """Reads `ffhq.pt` or a sibling: the `g_ema` entries and, if it is there, `latent_avg`.

    Other keys (g, d, optimiser states, options) are left alone.

    Raises:
        CheckpointError: It is damaged, another kind of file, or another architecture.
    """
    content = read_pickle(path)
    _check_kind(content, GENERATOR, path)
    state = plain_tensors(content["g_ema"], str(path))
    geometry = geometry_of(state, str(path))
    with torch.device("meta"):
        network = Generator(geometry)
    state = _checked(state, network, str(path))
    if "latent_avg" not in content:
        return GeneratorFile(geometry=geometry, state=state, w_avg=None)
    mean = plain_tensors({"latent_avg": content["latent_avg"]}, str(path))["latent_avg"]
    flat = {"latent_avg": mean.squeeze(0) if mean.ndim == 2 else mean}
    check_entries(flat, {"latent_avg": (geometry.style_dim,)}, str(path))
    rounded = as_float32(flat, flat, str(path))
    check_finite(rounded, str(path))
    return GeneratorFile(geometry=geometry, state=state, w_avg=rounded["latent_avg"].clone())


def geometry_of(state: Mapping[str, Tensor], source: str) -> Geometry:
    """The official geometry that a generator's entries have.

    Raises:
        CheckpointError: They are no generator's, or of sizes that the method does not know.
    """
    try:
        channels, size = [(4, state["input.input"].shape[1])], 8
        while (key := f"convs.{2 * (len(channels) - 1)}.conv.weight") in state:
            channels.append((size, state[key].shape[1]))
            size *= 2
        style_dim = state["style.1.weight"].shape[1]
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{source} holds no StyleGAN2 generator of the PyTorch port by rosinality: "
            f"its 'g_ema' has no proper {error}"
        ) from error
    layers = sum(bool(re.fullmatch(r"style\.\d+\.weight", key)) for key in state)
    found = (tuple(channels), style_dim, layers)
    for size, multiplier in ((s, m) for s in SIZES for m in MULTIPLIERS):
        known = Geometry.official(size, channel_multiplier=multiplier)
        if found == (known.channels, known.style_dim, known.mapping_layers):
            return known
    raise CheckpointError(
        f"{source} is a generator of {channels[-1][0]} pixels with style dimension {style_dim}, "
        f"{layers} mapping layers and {', '.join(f'{c} channels at {s}' for s, c in channels)}: "
        "the method knows 256, 512 and 1024 pixels, style dimension 512, 8 mapping layers and "
        "channel multipliers 1 and 2"
    )


def read_parser(path: Path) -> tuple[SegmenterWidths, dict[str, Tensor]]:
    """Reads `seg.pth` (16 classes) or `79999_iter.pth` (19 classes): a bare state dict.

    Returns:
        The widths, which name the label set, and the entries.

    Raises:
        CheckpointError: It is damaged, another kind of file, or has another number of classes.
    """
    content = read_pickle(path)
    _check_kind(content, PARSER, path)
    state = plain_tensors(content, str(path))
    head = state.get("conv_out.conv_out.weight")
    classes = head.shape[0] if head is not None and head.ndim else 0
    known = {len(class_labels(labels)): labels for labels in LabelSet}
    if head is not None and classes not in known:
        raise CheckpointError(
            f"{path} tells {classes} classes apart: the method knows face parsers with "
            f"{' or '.join(str(count) for count in known)}"
        )
    widths = SegmenterWidths(labels=known.get(classes, LabelSet.REGIONS))
    with torch.device("meta"):
        network = Segmenter(widths)
    return widths, _checked(state, network, str(path))


def read_vgg(path: Path) -> dict[str, Tensor]:
    """Reads torchvision's VGG16: the whole network, its features, or their bare numbers.

    The classifier's entries are left out.

    Raises:
        CheckpointError: It is damaged, another kind of file, or another VGG.
    """
    content = read_pickle(path)
    if content and all(re.fullmatch(r"\d+\.(weight|bias)", str(key)) for key in content):
        content = {f"features.{key}": value for key, value in content.items()}
    _check_kind(content, VGG, path)
    kept = {key: v for key, v in content.items() if not VGG_CLASSIFIER.fullmatch(str(key))}
    with torch.device("meta"):
        network = VGGFeatures()
    return _checked(plain_tensors(kept, str(path)), network, str(path))


def read_heads(path: Path) -> dict[str, Tensor]:
    """Reads LPIPS's linear heads, `weights/v0.1/vgg.pth` of the lpips package.

    Raises:
        CheckpointError: It is damaged, another kind of file, or the heads of another network.
    """
    content = read_pickle(path)
    _check_kind(content, HEADS, path)
    state = plain_tensors(content, str(path))
    with torch.device("meta"):
        channels = VGGFeatures().channels
    shapes = {f"lin{k}.model.1.weight": (1, c, 1, 1) for k, c in enumerate(channels)}
    check_entries(state, shapes, str(path))
    return as_float32(state, shapes, str(path))


def read_pca(path: Path, style_dim: int) -> PCAStatistics:
    """Reads `ffhq_PCA.npz`; its float64 arrays are cast to float32.

    Args:
        path: The npz file.
        style_dim: D, of the generator that it belongs to.

    Raises:
        CheckpointError: It is damaged, holds pickles, or is of another size.
    """
    names = {"mean": "X_mean", "components": "X_comp", "stdev": "X_stdev"}
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: leave --pca out to have it computed")
    check_archive(path, packed=True, limit=PCA_LIMIT_BYTES)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {
                key: torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
                for key, name in names.items()
            }
    except (OSError, *DAMAGE) as error:
        raise CheckpointError(f"{path} is no file of PCA statistics: {error}") from error
    pca, _ = check_statistics({**state, "w_avg": torch.zeros(style_dim)}, style_dim, str(path))
    return pca


def lpips_package_file() -> Path:
    """The heads inside the installed lpips package.

    Raises:
        CheckpointError: The package is not there, or has no such file.
    """
    spec = importlib.util.find_spec("lpips")
    package = Path(spec.origin).parent if spec and spec.origin else Path("lpips")
    path = package / "weights" / "v0.1" / "vgg.pth"
    if not path.is_file():
        raise CheckpointError(f"the lpips package has no {path}: give the file as --lpips")
    return path


def cached_vgg_file() -> Path:
    """The VGG16 that torchvision has fetched on this machine before; nothing is fetched here.

    Raises:
        CheckpointError: There is none; the message says where to get it.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG_CACHED
    if not path.is_file():
        raise CheckpointError(
            f"LPIPS and the style loss need VGG16, and torchvision's cache has no {path}: "
            f"download {VGG_ADDRESS} and give it as --vgg"
        )
    return path


def _checked(state: Mapping[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """The entries, once they fit the network one for one; floats as float32."""
    expected = network.state_dict()
    shapes = {key: tuple(value.shape) for key, value in expected.items()}
    check_entries(state, shapes, source)
    floats = [key for key, value in expected.items() if value.is_floating_point()]
    whole = as_float32(state, floats, source)
    counts = {key: value.to(torch.int64) for key, value in whole.items() if key not in floats}
    check_finite(whole, source)  # again: a float64 can lie beyond float32
    return {**whole, **counts}


def _check_kind(content: Mapping[str, Any], wanted: str, path: Path) -> None:
    """Raises CheckpointError when a file plainly is of another kind than its option says."""
    found = [(option, what) for key, option, what in KINDS if key in content]
    if any(option == wanted for option, _ in found):
        return
    entry, expected = next((key, what) for key, option, what in KINDS if option == wanted)
    if found:
        option, what = found[0]
        raise CheckpointError(f"{path} holds {what}, not {expected}: give it as {option}")
    if any(str(key).startswith(("synthesis.", "mapping.", "G_ema")) for key in content):
        raise CheckpointError(
            f"{path} is a generator in NVIDIA's own layout: convert it to that of the PyTorch "
            "port by rosinality first"
        )
    if wanted == GENERATOR and "input.input" in content:
        raise CheckpointError(
            f"{path} is a bare generator: the method reads a dict with it under 'g_ema'"
        )
    names = ", ".join(repr(key) for key in list(content)[:3]) or "nothing"
    raise CheckpointError(
        f"{path} is not {expected}: it lacks {entry!r} and holds {names}"
        f"{' ..' if len(content) > 3 else ''}"
    )

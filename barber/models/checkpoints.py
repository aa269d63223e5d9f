"""A bundle's weight files: how they are written and read.

Every reader checks names, shapes and finiteness, and says in one sentence which entries of which
file are wrong. The public files that a bundle is made of are `official`'s business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from barber import shelf
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

SHOWN_NAMES = 3  # so many entries are told by name, the others by their number
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
        lacks = f"lacks {some(missing)}" if missing else ""
        has = f"has the surplus {'entry' if len(surplus) == 1 else 'entries'} {some(surplus)}"
        what = " and ".join(part for part in (lacks, has if surplus else "") if part)
        raise CheckpointError(
            f"{source} {what} ({len(missing)} missing, {len(surplus)} surplus): "
            "it holds another architecture"
        )
    misshapen = [key for key in shapes if tuple(state[key].shape) != shapes[key]]
    if misshapen:
        key, others = misshapen[0], len(misshapen) - 1
        raise CheckpointError(
            f"{source}: {key!r} has shape {tuple(state[key].shape)}, not {shapes[key]}"
            f"{f', and {others} more differ' if others else ''}: it holds another architecture"
        )
    check_finite(state, source)


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raises CheckpointError when a value is NaN or infinite."""
    for key, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{source}: {key!r} holds a value that is not finite")


def some(names: Collection[str]) -> str:
    """The first few of some names, and how many more there are."""
    shown = ", ".join(repr(name) for name in list(names)[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown} and {len(names) - SHOWN_NAMES} more"


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
    contents: dict[str, Mapping[str, Tensor]] = {
        GENERATOR_FILE: generator.state_dict(),
        SEGMENTER_FILE: segmenter.state_dict(),
        PERCEPTUAL_FILE: {**vgg.state_dict(), **heads},
        STATISTICS_FILE: statistics_entries(pca, w_avg),
    }
    with shelf.placing(path, replace=True) as folder:
        manifest = Manifest(
            name=name,
            geometry=geometry,
            segmenter=segmenter.widths.to_json(),
            vgg=vgg.widths.to_json(),
            presets=presets,
            licence=licence,
            source=source,
            scores=scores,
            files=write_tensors(folder, contents),
        )
        write_manifest(folder, manifest)
    return manifest


def statistics_entries(pca: PCAStatistics, w_avg: Tensor) -> dict[str, Tensor]:
    """The entries of a bundle's file of statistics."""
    return {
        "mean": pca.mean,
        "components": pca.components,
        "stdev": pca.stdev,
        "w_avg": w_avg,
    }


def write_tensors(
    folder: Path,
    contents: Mapping[str, Mapping[str, Tensor]],
    on_file: Callable[[str], None] | None = None,
) -> dict[str, FileRecord]:
    """Writes safetensors files; returns their records by name.

    Args:
        folder: Where they go.
        contents: The entries of each file, by its name.
        on_file: Told the name before each file is written.

    Raises:
        OSError: The disk refuses.
    """
    records = {}
    for name, state in contents.items():
        if on_file is not None:
            on_file(name)
        records[name] = _write(folder / name, state)
    return records


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest; it comes last, because it makes the folder a bundle."""
    text = json.dumps(manifest.to_json(), indent=2, ensure_ascii=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def _write(path: Path, state: Mapping[str, Tensor]) -> FileRecord:
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    path.write_bytes(safetensors.torch.save(plain))  # `save_file` lets nobody else read it
    return FileRecord.of(path)

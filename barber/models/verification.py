"""Whether a bundle on disk is sound: digests, strict loading, one pass through every network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from barber.errors import CheckpointError
from barber.labels import REGION_COUNT
from barber.manifest import FileRecord, Manifest, read_manifest
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Noise
from barber.resample import photograph_to_parser, to_loss_size

SEED = 0  # of the codes and the picture that the networks are tried on


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    sound: bool
    said: str  # what was found, in words
    seconds: float


def verify(path: Path, device: torch.device | str = "cpu") -> Iterator[Finding]:
    """Looks at a bundle, part by part; stops before what a damaged part would need.

    Args:
        path: Its folder.
        device: Where its networks are tried.
    """
    manifest: Manifest | None = None

    def read() -> str:
        nonlocal manifest
        manifest = read_manifest(path)
        return f"digest {manifest.digest}"

    yield (finding := _look("manifest", read))
    if not finding.sound or manifest is None:
        return
    sound = True
    for name, record in manifest.all_files.items():
        finding = _look(name, partial(_digest, path / name, record))
        sound = sound and finding.sound
        yield finding
    if sound:
        yield from _networks(path, device)


def _networks(path: Path, device: torch.device | str) -> Iterator[Finding]:
    """Loads the networks strictly and tries each on noise."""
    loaded: list[ModelBundle] = []

    def load() -> str:
        loaded.append(ModelBundle.load(path, device))
        return "every entry has its name, shape and finite values"

    yield _look("networks", load)
    for bundle in loaded:
        for what, trial in (
            ("generator", _try_generator),
            ("face parser", _try_parser),
            ("LPIPS", _try_perceptual),
            ("statistics", _try_statistics),
        ):
            yield _look(what, partial(trial, bundle))


def _look(what: str, trial: Callable[[], str]) -> Finding:
    began = time.monotonic()
    try:
        with torch.no_grad():
            said, sound = trial(), True
    except CheckpointError as error:
        said, sound = str(error), False
    return Finding(what=what, sound=sound, said=said, seconds=time.monotonic() - began)


def _digest(path: Path, record: FileRecord) -> str:
    try:
        found = FileRecord.of(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if found != record:
        raise CheckpointError(
            f"{path} has {found.bytes} bytes of sha256 {found.sha256}, not {record.bytes} of "
            f"{record.sha256}: copy the bundle again"
        )
    return f"{record.bytes} bytes, sha256 {record.sha256[:12]}"


def _noise(bundle: ModelBundle, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(bundle.device)


def _checked(tensor: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    """Raises CheckpointError when a result has another shape or is not finite."""
    if tuple(tensor.shape) != shape:
        raise CheckpointError(f"{what} has shape {tuple(tensor.shape)}, not {shape}")
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{what} holds a value that is not finite")
    return tensor


def _try_generator(bundle: ModelBundle) -> str:
    g = bundle.geometry
    shape = (1, 3, g.image_size, g.image_size)
    w = bundle.generator.map(_noise(bundle, 1, g.style_dim))
    w_plus = _checked(w, (1, g.style_dim), "w")[:, None].expand(1, g.rows, -1)
    _checked(bundle.generator.synthesize(w_plus, Noise.buffers()), shape, "the picture of a code")
    f = bundle.generator.structure(w_plus, Noise.buffers())
    _checked(f, (1, g.f_channels, g.f_size, g.f_size), "F")
    _checked(bundle.generator.render(f, w_plus, Noise.buffers()), shape, "the picture of F")
    return f"z to {g.image_size}x{g.image_size} pixels, by way of F {tuple(f.shape)}"


def _try_parser(bundle: ModelBundle) -> str:
    g = bundle.geometry
    picture = _noise(bundle, 1, 3, g.image_size, g.image_size).sigmoid()
    logits = bundle.segmenter(photograph_to_parser(picture, g))
    _checked(logits, (1, REGION_COUNT, g.label_size, g.label_size), "the label logits")
    return f"{g.image_size}x{g.image_size} pixels to label logits {tuple(logits.shape)}"


def _try_perceptual(bundle: ModelBundle) -> str:
    g = bundle.geometry
    picture = to_loss_size(_noise(bundle, 1, 3, g.image_size, g.image_size).tanh(), g)
    distance = bundle.perceptual.distance(picture, bundle.perceptual.features(-picture))
    return f"noise to its negative: {float(_checked(distance, (1,), 'the distance')):.4g}"


def _try_statistics(bundle: ModelBundle) -> str:
    codes = bundle.generator.map(_noise(bundle, 2000, bundle.geometry.style_dim))
    found = float(_checked(bundle.pca.p_norm(codes[None]), (1,), "the P-norm"))
    return f"P-norm {found:.4g} of 2000 codes; about 1 when they belong to the generator"

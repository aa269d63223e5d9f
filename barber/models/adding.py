"""From the public files that somebody brought to a bundle of one's own.

Source: method 6, 7 and 18. Everything is read and checked before anything is written.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from barber import shelf
from barber.errors import CheckpointError
from barber.labels import LabelSet
from barber.losses.latent import PCAStatistics, measure_mean, measure_statistics
from barber.manifest import LANDMARKS_NAME, FileRecord, Manifest, Origin
from barber.models import official
from barber.models.checkpoints import (
    GENERATOR_FILE,
    PERCEPTUAL_FILE,
    SEGMENTER_FILE,
    STATISTICS_FILE,
    statistics_entries,
    write_manifest,
    write_tensors,
)
from barber.models.official import GeneratorFile
from barber.models.segmenter import SegmenterWidths
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGWidths

OnProgress = Callable[[str, int, int], None]  # what is being done, how much of it, of how much

PCA_SAMPLES = 1_000_000  # as the official file was made (method 7)
MEAN_SAMPLES = 100_000
SEED = 0  # of the z that statistics are computed from
FIT_SAMPLES = 2000  # codes that tell whether given statistics belong to the generator
FIT_RANGE = (0.5, 2.0)  # of their mean P-norm, which is 1 for the generator's own statistics

# The first bytes of dlib's predictor of 68 points: version 1, then a matrix of -136 by -1, each
# number as its length (and sign) and its bytes. See `serialize` of dlib's matrix.
LANDMARKS_HEAD = bytes.fromhex("010181888101")

# What is known about the use of each file (method 18).
LICENCES = {
    "generator": "of NVIDIA's StyleGAN2 weights: NVIDIA Source Code Licence, non-commercial",
    "parser": "no licence stated; trained on CelebAMask-HQ, non-commercial research only",
    "vgg": "torchvision BSD-3; original weights by the University of Oxford, CC BY 4.0",
    "lpips": "BSD-2, as the lpips package",
    "pca": "statistics of the generator's weights, whose terms they share",
    "landmarks": "trained on iBUG 300-W: research only, no commercial use",
}
LICENCE = (
    "none of these files may be passed on by this software; each keeps its own terms, and together "
    "they allow research, not commercial use"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The files that a bundle is made of."""

    generator: Path
    parser: Path
    vgg: Path
    lpips: Path
    pca: Path | None = None  # computed when absent
    landmarks: Path | None = None

    def by_part(self) -> dict[str, Path]:
        """The files that are there, by what they give."""
        return {part: getattr(self, part) for part in LICENCES if getattr(self, part) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A bundle to add."""

    path: Path  # its folder to be; the last part is its name
    brought: Brought
    licence: str = LICENCE
    source: str = ""  # where the files come from; their names if empty
    replace: bool = False  # whether a bundle of that name goes
    pca_samples: int = PCA_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A bundle that was added."""

    manifest: Manifest
    notes: tuple[str, ...]  # what somebody should know about it, a sentence each


@dataclass(kw_only=True)
class _Parts:
    """What was read, checked and computed."""

    generator: GeneratorFile
    widths: SegmenterWidths
    contents: dict[str, Mapping[str, Tensor]]  # by file of the bundle
    computed: list[str] = field(default_factory=list)  # for the manifest's source
    notes: list[str] = field(default_factory=list)


def add_bundle(request: Request, on_progress: OnProgress) -> Added:
    """Makes a bundle of the files; it appears whole or not at all.

    Raises:
        CheckpointError: The name is taken or unfit, a file cannot be used, or there is no room.
    """
    shelf.check_name(request.path.name)
    if not request.replace:
        shelf.check_absent(request.path)
    origins = _origins(request.brought, on_progress)
    parts = _read(request.brought, on_progress)
    shelf.check_room(request.path.parent, _bytes(parts, origins))
    pca, w_avg = _statistics(request, parts, on_progress)
    parts.contents[STATISTICS_FILE] = statistics_entries(pca, w_avg)
    manifest = _write(request, parts, origins, on_progress)
    return Added(manifest=manifest, notes=tuple(parts.notes))


def check_landmarks(path: Path) -> list[str]:
    """Whether a file is dlib's predictor of 68 landmarks, by its head and, if it is here, by dlib.

    Returns:
        What somebody should know: that it could not be tried.

    Raises:
        CheckpointError: It is not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(LANDMARKS_HEAD))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if head.startswith(b"BZh"):
        raise CheckpointError(f"{path} is still packed: unpack it with `bunzip2 {path.name}`")
    if head != LANDMARKS_HEAD:
        raise CheckpointError(
            f"{path} is not dlib's shape predictor of 68 landmarks "
            "(shape_predictor_68_face_landmarks.dat)"
        )
    if importlib.util.find_spec("dlib") is None:
        return ["dlib is not installed, so the landmark predictor was not tried"]
    try:
        importlib.import_module("dlib").shape_predictor(str(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is cut short or damaged: copy it again (dlib: {reason})"
        ) from error
    return []


def _origins(brought: Brought, on_progress: OnProgress) -> dict[str, Origin]:
    origins = {}
    for part, path in brought.by_part().items():
        on_progress(f"digest of {path.name}", 0, 1)
        if not path.is_file():
            raise CheckpointError(f"{path} (--{part}) does not exist or is no file")
        try:
            record = FileRecord.of(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
        origins[part] = Origin(
            file=path.name, sha256=record.sha256, bytes=record.bytes, licence=LICENCES[part]
        )
    return origins


def _read(brought: Brought, on_progress: OnProgress) -> _Parts:
    """Reads and checks the files, all but the statistics."""
    on_progress(f"reading {brought.generator.name}", 0, 1)
    generator = official.read_generator(brought.generator)
    on_progress(f"reading {brought.parser.name}", 0, 1)
    widths, parser = official.read_parser(brought.parser)
    on_progress(f"reading {brought.vgg.name}", 0, 1)
    perceptual = official.read_vgg(brought.vgg) | official.read_heads(brought.lpips)
    contents: dict[str, Mapping[str, Tensor]] = {
        GENERATOR_FILE: generator.state,
        SEGMENTER_FILE: parser,
        PERCEPTUAL_FILE: perceptual,
    }
    parts = _Parts(generator=generator, widths=widths, contents=contents)
    if widths.labels is LabelSet.CELEBAMASK:
        parts.notes.append("the face parser's 19 CelebAMask-HQ classes join to our 16 regions")
    if brought.landmarks is not None:
        parts.notes += check_landmarks(brought.landmarks)
    return parts


def _statistics(
    request: Request, parts: _Parts, on_progress: OnProgress
) -> tuple[PCAStatistics, Tensor]:
    """The statistics of w and its mean [D], brought or computed."""
    style_dim, mapping = parts.generator.geometry.style_dim, _mapping(parts.generator)
    given = request.brought.pca
    pca = None if given is None else official.read_pca(given, style_dim)
    w_avg = parts.generator.w_avg
    if w_avg is None:
        on_progress("computing the mean latent", 0, 1)
        w_avg = measure_mean(mapping, style_dim, samples=MEAN_SAMPLES, seed=SEED)
        parts.computed.append(f"mean latent computed here from {MEAN_SAMPLES} codes, seed {SEED}")
        parts.notes.append(
            f"{request.brought.generator.name} has no 'latent_avg': the mean latent was computed "
            f"from {MEAN_SAMPLES} codes"
        )
    if pca is not None:
        parts.notes += _misfit(pca, mapping, style_dim, str(given))
        return pca, w_avg
    samples, what = request.pca_samples, "computing PCA statistics"
    on_progress(what, 0, samples)
    pca = measure_statistics(
        mapping,
        style_dim,
        samples=samples,
        seed=SEED,
        on_samples=lambda done: on_progress(what, done, samples),
    )
    parts.computed.append(f"PCA statistics computed here from {samples} codes, seed {SEED}")
    return pca, w_avg


def _mapping(generator: GeneratorFile) -> Callable[[Tensor], Tensor]:
    """The mapping network on the entries as they are, without a copy of them."""
    with torch.device("meta"):
        network = Generator(generator.geometry)
    network.load_state_dict(generator.state, assign=True)
    return network.requires_grad_(False).map


def _misfit(
    pca: PCAStatistics, mapping: Callable[[Tensor], Tensor], style_dim: int, source: str
) -> list[str]:
    """A sentence if statistics seem to belong to another generator."""
    z = torch.randn(FIT_SAMPLES, style_dim, generator=torch.Generator().manual_seed(SEED + 1))
    found = float(pca.p_norm(mapping(z)[None]))
    low, high = FIT_RANGE
    if low <= found <= high:
        return []
    return [
        f"{source} does not seem to belong to this generator: its codes have a P-norm of "
        f"{found:.3g} where 1 is expected; leave --pca out to have the statistics computed"
    ]


def _bytes(parts: _Parts, origins: Mapping[str, Origin]) -> int:
    """What the bundle's files will take; the statistics, some 1 MB, are in the spare room."""
    tensors = sum(v.nbytes for state in parts.contents.values() for v in state.values())
    return tensors + (origins["landmarks"].bytes if "landmarks" in origins else 0)


def _write(
    request: Request, parts: _Parts, origins: dict[str, Origin], on_progress: OnProgress
) -> Manifest:
    source = request.source or "brought as " + ", ".join(o.file for o in origins.values())
    with shelf.placing(request.path, replace=request.replace) as folder:
        files = write_tensors(
            folder, parts.contents, lambda name: on_progress(f"writing {name}", 0, 1)
        )
        landmarks = None
        if request.brought.landmarks is not None:
            on_progress(f"writing {LANDMARKS_NAME}", 0, 1)
            shutil.copyfile(request.brought.landmarks, folder / LANDMARKS_NAME)
            landmarks = FileRecord.of(folder / LANDMARKS_NAME)
        manifest = Manifest(
            name=request.path.name,
            geometry=parts.generator.geometry,
            segmenter=parts.widths.to_json(),
            vgg=VGGWidths().to_json(),
            presets={},
            licence=request.licence,
            source="; ".join([source, *parts.computed]),
            scores={},
            files=files,
            landmarks=landmarks,
            origins=origins,
        )
        write_manifest(folder, manifest)
    return manifest

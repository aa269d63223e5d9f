"""A vector set of the same form made from our own classes: other salt, names, steps and sizes.

It says nothing about the method, since it is compared with what made it. It shows that the command
takes every number from the set and none from the set that the project carries.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.labels import REGION_COUNT
from barber.models.segmenter import Segmenter
from tests.conformance.bench import Bench
from tests.conformance.cases import computed
from tests.conformance.compare import Held
from tests.conformance.recipe import Recipe, enlarge, float32
from tests.conformance.vectors import MANIFEST

Arrays = dict[str, NDArray[Any]]

SALT = "ours-2"
SETTINGS = {
    "trajectory_256": {"steps": 2, "fill_steps": 1, "smooth": 4, "mode": "fidelity", "lr": 0.02}
}
FILES = ("recipe_check", "masks", "losses", "segmenter", "generator_256", "face_alignment")
WITHOUT_NETWORKS = (
    r"(picture|ellipse)/.*|bicubic.*|ce.*|l_F|(dilate|erode)_.*|T|bgmap|pass2_target|.*_(M|losses)"
)
HEAD = "seg_head.npz"

# Names of the project's set and what they are called here; each belongs to some of the files.
RENAMED = (
    (r"(picture|ellipse)/a", r"\1/another"),
    (r"(dilate|erode)_5", r"\1_2"),
    (r"(mix_.*)smooth5", r"\1smooth3"),
    (r"bicubic_f4", "bicubic_f8"),
    (r"(.*\balign_)fidelity_ab(:mask:cross_entropy_loss)", r"\1realistic_de\2_wo_background"),
    (r"(.*\balign_)fidelity_ab(.*)", r"\1realistic_de\2"),
    (r"(.*\balign_)a([bc])(:mask:cross_entropy_loss)_wo_background", r"\1a\2\3"),
)
PICTURES = {"a": "d", "b": "e", "c": "f"}


def write_set(
    folder: Path, template: Recipe, stems: Sequence[str] = FILES, *, only: str = r".*"
) -> None:
    """Writes a set whose arrays are what our classes compute now.

    Args:
        folder: An empty one.
        template: The project's set, whose names, rules and meanings are taken over.
        stems: Which files; a trajectory takes minutes.
        only: A regular expression; other arrays, inputs excepted, are left out.
    """
    files = [f"{stem}.npz" for stem in stems]
    entries = {file: _entries(template, file, only) for file in files}
    inputs = {file: _inputs(file) for file in files} | {HEAD: {"weight": _any_head()}}
    entries[HEAD] = {"weight": template.vectors.files[HEAD]["arrays"]["weight"]}
    for file, arrays in inputs.items():
        np.savez_compressed(folder / file, **arrays)
    _write_manifest(folder, entries, inputs)
    if any("trajectory" in stem or "segmenter" in stem for stem in stems):
        inputs[HEAD] = {"weight": _telling_head(Bench(folder))}
        np.savez_compressed(folder / HEAD, **inputs[HEAD])
    bench = Bench(folder)
    for file in files:
        wanted = [name for name, facts in entries[file].items() if not _is_input(facts)]
        found = {name: _stored(value) for name, value in computed(bench, file, wanted)}
        inputs[file] |= found
        np.savez_compressed(folder / file, **inputs[file])
    _write_manifest(folder, entries, inputs)


def _entries(template: Recipe, file: str, only: str) -> dict[str, dict[str, Any]]:
    """The manifest's entries under the names that this set gives them."""
    found: dict[str, dict[str, Any]] = {}
    for name, facts in template.vectors.files[file]["arrays"].items():
        called = _renamed(name, file)
        if called and (_is_input(facts) or re.fullmatch(only, called)):
            found[called] = facts
    return found


def _renamed(name: str, file: str) -> str:
    if "trajectory" in file and "only_background" in name:
        return ""  # in fidelity mode there is one loss, not two
    for pattern, called in RENAMED:
        if re.fullmatch(pattern, name):
            name = re.sub(f"^{pattern}$", called, name)
    if "trajectory" in file:
        name = re.sub(r"(?<=w_plus_)[abc]|(?<=fs_)[abc]", lambda m: PICTURES[m[0]], name)
        name = re.sub(r"(?<=align_)a([bc])", lambda m: f"d{PICTURES[m[1]]}", name)
    return name


def _is_input(facts: Mapping[str, Any]) -> bool:
    return bool(facts["compare"]["metric"] == "input")


def _inputs(file: str) -> Arrays:
    """What a file gives as data, drawn from streams of its own."""
    if file == "masks.npz":
        maps = {name: _label_map(name) for name in ("A", "R", "g1", "g2")}
        return maps | {"morph_in": (_stream("morph_in", (32, 32)) > 0.4).repeat(8, 0).repeat(8, 1)}
    if file == "segmenter.npz":
        return {"clear": np.ones((512, 512), np.uint8)}
    if file == "face_alignment.npz":
        found: Arrays = {}
        for case, (size, scale) in {
            "inside": ((640, 560), 0.5),
            "pad": ((300, 280), 0.9),
            "shrink": ((4700, 4500), 10.5),
        }.items():
            found[f"{case}_size"] = np.array(size)
            found[f"{case}_landmarks"] = _landmarks(np.array(size) / 2, scale)
        return found
    return {}


def _stream(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(f"{SALT}/{name}".encode()).digest()[:8], "big")
    return np.random.default_rng(seed).random(shape)


def _label_map(name: str) -> NDArray[np.uint8]:
    """Cells of all labels, more of them hair and background than chance would give."""
    cells = np.floor(REGION_COUNT * _stream(name, (32, 32)))
    kind = _stream(f"{name}/kind", (32, 32))
    cells[kind < 0.3], cells[kind > 0.7] = 10, 0
    return enlarge(cells, 512).astype(np.uint8)


def _landmarks(centre: NDArray[np.float64], scale: float) -> NDArray[np.int64]:
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-50, -4), (50, 3)
    points[48], points[54] = (-38, 108), (41, 112)
    found: NDArray[np.int64] = np.rint(points * scale + centre - (0, 40 * scale)).astype(np.int64)
    return found


def _any_head() -> NDArray[np.float32]:
    return (_stream("head", (REGION_COUNT, 256)) - 0.5).astype(np.float32)


def _telling_head(bench: Bench) -> NDArray[np.float32]:
    """A head for the recipe's parser under which every label occurs.

    The parser's features are nearly the same everywhere, so a random head gives one label. This one
    looks at what differs: random directions of the whitened features, orthogonal to their mean.
    """
    parser = bench.bundle(256).segmenter
    seen: list[Tensor] = []
    hook = parser.conv_out.conv_out.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        for name in PICTURES.values():
            unit = float32(bench.recipe.picture(name, 512) / 255.0).permute(2, 0, 1)[None]
            parser(Segmenter.normalise(unit))
    hook.remove()
    features = torch.cat(seen).permute(0, 2, 3, 1).flatten(0, 2).double()  # [pixels, 256]
    mean = features.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(features.t()))
    main = directions[:, -REGION_COUNT:] / variances[-REGION_COUNT:].sqrt()
    turned = torch.linalg.qr(torch.from_numpy(_stream("turn", (REGION_COUNT,) * 2) - 0.5))[0]
    head = turned @ main.t()
    head = head - torch.outer(head @ mean, mean) / mean.square().sum()
    found: NDArray[np.float32] = head.float().numpy()
    return found


def _stored(value: Any) -> NDArray[Any]:
    values = value.values if isinstance(value, Held) else value
    return values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _write_manifest(
    folder: Path, entries: Mapping[str, Mapping[str, dict[str, Any]]], arrays: Mapping[str, Arrays]
) -> None:
    def told(file: str, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        array = arrays[file].get(name, np.zeros(()))  # not yet computed: told again later
        return {**facts, "shape": list(array.shape), "dtype": array.dtype.name}

    files = {
        file: {
            "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
            "arrays": {name: told(file, name, facts) for name, facts in listed.items()},
        }
        for file, listed in entries.items()
    }
    manifest = {"format": 1, "set": "ours", "salt": SALT, "settings": SETTINGS, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest))

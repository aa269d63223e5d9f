"""Weight files from outside, read so that they can neither run code nor take all memory.

Source: method 6 and 18. Pickles are read with `weights_only`; an archive must hold what its length
says. Every way in which a file can be wrong ends in one sentence that names it.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from barber.errors import CheckpointError

SNIFFED_BYTES = 512
NVIDIA_MODULES = ("dnnlib", "torch_utils")
# What damaged or hostile bytes make the readers raise, apart from OSError.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


def read_pickle(path: Path) -> dict[str, Any]:
    """A pickled dict of tensors and plain values, on the CPU.

    Tensors of today's archives are mapped, not read: what nobody looks at takes no memory. Files
    of the form before PyTorch 1.6 are read as a whole.

    Raises:
        CheckpointError: It is missing, no weight file, damaged, or holds more than tensors.
    """
    archive = _check_form(path)
    try:
        # A training run's options are kept beside its weights as a Namespace, which is plain data.
        # What torch warns of (an unusual protocol) either reads well or is refused below.
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals([argparse.Namespace]),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} cannot be read as a weight file, it is cut short or damaged: copy it again "
            f"({_first_line(error)})"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return content


def check_archive(path: Path, *, packed: bool, limit: int) -> None:
    """Refuses an archive whose entries unpack to more than a limit, before any is unpacked.

    Args:
        path: A zip file.
        packed: Whether its entries may be compressed.
        limit: Bytes that all entries together may have.

    Raises:
        CheckpointError: They have more, or the archive is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, *DAMAGE, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} is a damaged or cut-off archive: copy it again ({_first_line(error)})"
        ) from error
    if not packed and any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(f"{path} is a compressed archive, which no weight file is")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > limit:
        raise CheckpointError(
            f"{path} claims to hold {claimed} bytes, more than the {limit} it can: it is not opened"
        )


def plain_tensors(state: object, source: str) -> dict[str, Tensor]:
    """The entries of a state dict, each an ordinary tensor without history.

    Raises:
        CheckpointError: It is no dict of names and tensors, or a tensor is of a special kind.
    """
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{source} holds a {type(state).__name__}, not a dict of tensors")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{source}: entry {key!r} is a {type(value).__name__}, where a tensor belongs: "
                "it holds another architecture"
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise CheckpointError(f"{source}: {key!r} is sparse, quantized or without values")
    return {key: value.detach() for key, value in state.items()}


def as_float32(state: Mapping[str, Tensor], keys: Iterable[str], source: str) -> dict[str, Tensor]:
    """The entries, with those of `keys` as float32: float64 is rounded, all else is refused.

    Raises:
        CheckpointError: An entry of `keys` is neither float32 nor float64.
    """
    found = dict(state)
    for key in keys:
        dtype = found[key].dtype
        if dtype not in (torch.float32, torch.float64):
            raise CheckpointError(
                f"{source}: {key!r} is {str(dtype).removeprefix('torch.')}, and the method needs "
                "the float32 original: weights once rounded or converted cannot be restored"
            )
        found[key] = found[key].float()
    return found


def _check_form(path: Path) -> bool:
    """Whether the file is an archive, after everything that its first bytes can tell."""
    try:
        if not path.exists():
            raise CheckpointError(f"{path} does not exist: see the list of weight files in README")
        if not path.is_file():
            raise CheckpointError(f"{path} is no file")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise CheckpointError(f"{path} is empty: download it again")
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, not a weight file: the download site wanted a confirmation, "
            "so open it in a browser"
        )
    if head[8:9] == b"{":
        raise CheckpointError(f"{path} looks like a safetensors file: bring the original pickle")
    if head.startswith(b"PK"):
        check_archive(path, packed=False, limit=size)
        return True
    foreign = next((module for module in NVIDIA_MODULES if module.encode() in head), None)
    if foreign is not None:
        raise CheckpointError(_nvidia(path, foreign))
    if not head.startswith(b"\x80"):
        raise CheckpointError(f"{path} is no weight file of PyTorch: check which file it is")
    return False


def _refusal(path: Path, said: str) -> str:
    """One sentence for a pickle that was not loaded; torch's own advises to trust it."""
    asked = re.search(r"GLOBAL ([\w.]+)", said)
    if asked is None:
        return (
            f"{path} is no weight file of PyTorch, or a damaged one, so it is not loaded: "
            "check which file it is, and copy it again"
        )
    name = asked.group(1)
    if name.startswith(NVIDIA_MODULES):
        return _nvidia(path, name)
    return (
        f"{path} holds more than tensors, so it is not loaded: it asks for {name}, which could "
        "run code"
    )


def _nvidia(path: Path, name: str) -> str:
    return (
        f"{path} is a pickle of NVIDIA's own code ({name}), so it is not loaded: "
        "convert it to the layout of the PyTorch port by rosinality first"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]

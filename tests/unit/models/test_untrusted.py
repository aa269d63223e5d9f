"""Damaged and hostile weight files: one sentence each, and nothing runs."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from barber.errors import CheckpointError
from barber.models.untrusted import as_float32, plain_tensors, read_pickle


class Payload:
    """Runs a command when it is unpickled by somebody careless."""

    def __init__(self, witness: Path) -> None:
        self.command = f"touch {witness}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def saved(path: Path, *, archive: bool = True) -> Path:
    content = {"a": torch.arange(1000.0), "b": {"c": torch.ones(3, 4)}}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path


@pytest.mark.parametrize("archive", [True, False])
def test_both_forms_of_pickle_are_read(tmp_path: Path, archive: bool) -> None:
    content = read_pickle(saved(tmp_path / "w.pt", archive=archive))

    assert torch.equal(content["a"], torch.arange(1000.0))
    assert content["b"]["c"].shape == (3, 4)


def test_the_options_of_a_training_run_do_no_harm(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "args": argparse.Namespace(lr=0.002)}, tmp_path / "w.pt")

    assert read_pickle(tmp_path / "w.pt")["args"].lr == 0.002


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]
)
def test_a_pickle_with_code_is_not_run(
    tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    path, witness = tmp_path / "w.pt", tmp_path / "ran"
    write({"g_ema": Payload(witness)}, path)

    with pytest.raises(
        CheckpointError, match=r"holds more than tensors.*system.*run code"
    ) as caught:
        read_pickle(path)

    assert not witness.exists()
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    "start", [b"\x80\x02", b"\x80\x04\x95" + bytes(8), b"\x80\x02X\x58\x02\x00\x00" + b"a" * 600]
)
def test_a_pickle_of_nvidias_code_is_called_that(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "ffhq.pt"
    path.write_bytes(start + b"cdnnlib.tflib.network\nNetwork\n)\x81.")

    with pytest.raises(CheckpointError, match=r"NVIDIA's own code \(dnnlib"):
        read_pickle(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"just some words\n", "is no weight file"),
        (b"\n<!DOCTYPE html><html>Virus scan warning", "is a web page"),
        (b"<html><head></head></html>", "is a web page"),
        (b"PK\x03\x04 cut off", "damaged or cut-off archive"),
        ((80).to_bytes(8, "little") + b'{"a":{"dtype":"F32"', "safetensors"),
        (b"\x80\x04\x95", "copy it again"),
        (b"\x00" * 4096, "no weight file|damaged"),
    ],
)
def test_what_is_no_weight_file_is_told_apart(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "w.pt").write_bytes(data)

    with pytest.raises(CheckpointError, match=words):
        read_pickle(tmp_path / "w.pt")


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, archive: bool, share: float) -> None:
    path = saved(tmp_path / "w.pt", archive=archive)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(CheckpointError, match=r"w\.pt"):
        read_pickle(path)


@pytest.mark.parametrize("archive", [True, False])
def test_no_damage_of_the_first_bytes_escapes(tmp_path: Path, archive: bool) -> None:
    whole, path = saved(tmp_path / "w.pt", archive=archive).read_bytes(), tmp_path / "w.pt"
    draw = random.Random(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(4):
            data[draw.randrange(600)] = draw.randrange(256)
        path.write_bytes(data)
        try:
            read_pickle(path)
        except CheckpointError:
            refused += 1

    assert refused > 50


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_pickle(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is no file"):
        read_pickle(tmp_path)


def test_other_things_than_a_dict_are_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "w.pt")

    with pytest.raises(CheckpointError, match="holds a list, not a dict"):
        read_pickle(tmp_path / "w.pt")


def test_an_archive_that_unpacks_to_more_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))

    with pytest.raises(CheckpointError, match="is a compressed archive"):
        read_pickle(path)


def test_an_archive_that_claims_more_than_it_has_is_not_opened(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # of the central directory: sizes at 20 and 24
    data[entry + 20 : entry + 28] = (2_000_000_000).to_bytes(4, "little") * 2
    path.write_bytes(data)

    with pytest.raises(CheckpointError, match="claims to hold 200000"):
        read_pickle(path)


def test_entries_that_are_no_plain_tensors_are_refused() -> None:
    with pytest.raises(CheckpointError, match="'a' is a int, where a tensor belongs"):
        plain_tensors({"a": 3}, "w.pt")
    with pytest.raises(CheckpointError, match="holds a list, not a dict"):
        plain_tensors([1], "w.pt")
    with pytest.raises(CheckpointError, match="'a' is sparse"):
        plain_tensors({"a": torch.eye(2).to_sparse()}, "w.pt")
    with pytest.raises(CheckpointError, match="without values"):
        plain_tensors({"a": torch.ones(2, device="meta")}, "w.pt")
    parameter = torch.nn.Parameter(torch.ones(2))
    assert not plain_tensors({"a": parameter}, "w.pt")["a"].requires_grad


def test_float64_is_rounded_and_everything_else_refused() -> None:
    state = {"a": torch.tensor([1 / 3], dtype=torch.float64), "n": torch.tensor(3)}

    found = as_float32(state, ["a"], "w.pt")

    assert found["a"].dtype == torch.float32 and found["n"].dtype == torch.int64
    for dtype in (torch.float16, torch.bfloat16, torch.int32, torch.complex64):
        name = str(dtype).removeprefix("torch.")
        with pytest.raises(CheckpointError, match=f"'a' is {name}, and the method needs"):
            as_float32({"a": torch.ones(1, dtype=dtype)}, ["a"], "w.pt")

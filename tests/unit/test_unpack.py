"""Archives that lie, climb out, or never end."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from barber.errors import InputError
from barber.unpack import Limits, unpack


def archive(tmp_path, *entries, method=zipfile.ZIP_DEFLATED):
    path = tmp_path / "night.zip"
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return path


def test_files_and_folders_come_out_and_junk_stays_in(tmp_path):
    path = archive(tmp_path, ("a/b.png", b"1"), ("__MACOSX/x", b"2"), ("manifest.csv", b"3"))
    names = unpack(path, tmp_path / "out")
    assert [str(name) for name in names] == ["a/b.png", "manifest.csv"]
    assert (tmp_path / "out/a/b.png").read_bytes() == b"1"
    assert not (tmp_path / "out/__MACOSX").exists()


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


REFUSED = {
    "up": ([("../up.png", b"1")], "cannot be a file's name"),
    "up by backslash": ([("a\\..\\..\\up.png", b"1")], "cannot be a file's name"),
    "absolute": ([("/etc/passwd", b"1")], "cannot be a file's name"),
    "drive": ([("C:/up.png", b"1")], "cannot be a file's name"),
    "link": ([(link("a.png"), b"/etc/passwd")], "holds the link"),
    "twice": ([("a.png", b"1"), ("A.png", b"2")], "twice"),
    "file and folder": ([("a", b"1"), ("a/b", b"2")], "cannot be unpacked|file and a folder"),
    "too many": ([(f"{n}.txt", b"") for n in range(6)], "holds 6 files"),
    "one too large": ([("a.png", b"0" * 3_000_000)], "unpacks to more than 2 MiB"),
    "all too large": ([(f"{n}.png", b"0" * 1_500_000) for n in range(3)], "unpacks to more than"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_not_come_out_is_refused(tmp_path, case):
    entries, sentence = REFUSED[case]
    limits = Limits(files=5, bytes=4 << 20, file_bytes=2 << 20)
    with pytest.raises(InputError, match=sentence):
        unpack(archive(tmp_path, *entries), tmp_path / "out", limits)
    assert not (tmp_path / "up.png").exists()


def test_a_size_that_lies_is_found_out(tmp_path):
    """The header announces one byte; out would come ten megabytes."""
    path = archive(tmp_path, ("a.png", b"0" * 10_000_000))
    data = bytearray(path.read_bytes())
    size = (10_000_000).to_bytes(4, "little")
    while size in data:
        data[data.index(size) : data.index(size) + 4] = (1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError):
        unpack(path, tmp_path / "out", Limits(file_bytes=1 << 20))
    written = tmp_path / "out/a.png"
    assert not written.exists() or written.stat().st_size <= 1 << 20


@pytest.mark.parametrize("keep", [0, 10, 60, 140])
def test_a_damaged_archive_is_told(tmp_path, keep):
    path = archive(tmp_path, ("a.png", bytes(range(256))), method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="not a ZIP that can be read"):
        unpack(path, tmp_path / "out")


def test_a_changed_byte_is_told(tmp_path):
    path = archive(tmp_path, ("a.png", b"x" * 5000), method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="pack it again"):
        unpack(path, tmp_path / "out")


def test_a_locked_archive_is_told(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.png", b"1")
    data = bytearray(out.getvalue())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    path = tmp_path / "night.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match="locked by a password"):
        unpack(path, tmp_path / "out")

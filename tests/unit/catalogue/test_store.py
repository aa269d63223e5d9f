from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from barber.catalogue.store import Store, StoredFile
from barber.errors import StoreError

DATA = b"a small artifact"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_what_is_put_can_be_got(store: Store) -> None:
    assert not store.contains(SHA256)
    assert store.put(DATA) == SHA256
    assert store.contains(SHA256)
    assert store.get(SHA256) == DATA
    assert store.path(SHA256) == store.root / SHA256[:2] / SHA256[2:4] / SHA256
    assert files(store) == [store.path(SHA256)], "nothing besides"


def test_store_file_tells_what_the_catalogue_wants(store: Store) -> None:
    expected = StoredFile(sha256=SHA256, size_bytes=len(DATA), media_type="image/png")
    assert store.store_file(DATA, "image/png") == expected
    assert store.get(SHA256) == DATA


def test_an_equal_file_is_written_once(store: Store) -> None:
    store.put(DATA)
    before = store.path(SHA256).stat()
    store.put(DATA)
    assert store.path(SHA256).stat().st_ino == before.st_ino


def test_a_damaged_file_is_noticed_and_can_be_put_again(store: Store) -> None:
    store.put(DATA)
    store.path(SHA256).write_bytes(DATA[:-1])
    with pytest.raises(StoreError, match="is damaged: its stage must run again"):
        store.get(SHA256)
    store.put(DATA)
    assert store.get(SHA256) == DATA


def test_a_missing_file_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match=f"lacks the file .*{SHA256}"):
        store.get(SHA256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_digests_become_paths(store: Store, name: str) -> None:
    for ask in (store.path, store.get, store.contains):
        with pytest.raises(StoreError, match="give 64 hex digits"):
            ask(name)


def test_other_users_may_read(store: Store) -> None:
    store.put(DATA)
    assert store.path(SHA256).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_nothing_and_says_what_is_free(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", full)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError) as refused:
        store.put(DATA)
    monkeypatch.undo()
    assert str(refused.value).startswith(
        f"the disk is full: 16 bytes for {store.path(SHA256)} do not fit, "
    )
    assert "bytes are free; make room" in str(refused.value)
    assert files(store) == []
    assert store.put(DATA) == SHA256


def test_an_unwritable_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the directory should be")
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        store.put(DATA)


def test_free_bytes_before_the_first_file(store: Store) -> None:
    assert store.free_bytes() > 0

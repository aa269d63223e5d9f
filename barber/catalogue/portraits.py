"""Portraits: registered once by the content of their pixels, kept as PNG in the store."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import Image
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.store import Store
from barber.catalogue.tables import Portrait
from barber.errors import NotFound
from barber.pixels import Pixels, decode, encode_png, portrait_key, read_portrait
from barber.spec import PortraitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitRow:
    """A registered portrait; `name`, `width` and `height` are of the file it first came from."""

    sha256: PortraitKey
    name: str
    width: int
    height: int
    side_px: int
    file_sha256: str
    labels_file_sha256: str | None  # of its own label map
    photo_file_sha256: str | None  # of the photograph that it was cut from
    crop: Mapping[str, Any] | None  # how it was cut
    created_at: datetime


def register(session: Session, store: Store, data: bytes, *, size: int, name: str) -> PortraitKey:
    """Reads a picture as a portrait of `size` pixels and keeps it; equal pixels are kept once.

    Raises:
        InputError: The picture cannot be used; see `pixels.read_portrait`.
        StoreError: The store cannot take the file.
    """
    pixels = read_portrait(data, size, name=name)
    key = portrait_key(pixels)
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    statement = insert(Portrait).values(
        sha256=key,
        name=name,
        width=width,
        height=height,
        side_px=size,
        file_sha256=store.put(encode_png(pixels)),
    )
    session.execute(statement.on_conflict_do_nothing())
    return key


def pixels(session: Session, store: Store, key: PortraitKey) -> Pixels:
    """A portrait's pixels, uint8 [R, R, 3].

    Raises:
        NotFound: No such portrait.
        StoreError: Its file is missing or damaged.
    """
    return decode(store.get(file_of(session, key)), name=f"portrait {key[:12]}")


def file_of(session: Session, key: PortraitKey) -> str:
    """The digest of a portrait's PNG. Raises NotFound."""
    file_sha256 = session.scalar(select(Portrait.file_sha256).where(Portrait.sha256 == key))
    if file_sha256 is None:
        raise NotFound(f"no portrait {key}: register its picture first")
    return file_sha256


def portraits(session: Session, keys: Iterable[PortraitKey]) -> dict[PortraitKey, PortraitRow]:
    """The registered ones among `keys`."""
    query = select(*Portrait.__table__.c).where(Portrait.sha256.in_(set(keys)))
    return {PortraitKey(row.sha256): PortraitRow(**row._mapping) for row in session.execute(query)}

"""Portraits: registered once by the content of their pixels, kept as PNG in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from barber.catalogue.store import Store
from barber.catalogue.tables import Portrait
from barber.errors import NotFound
from barber.photographs.picture import Crop, LabelMap, Picture, decode_labels
from barber.pixels import Pixels, decode, encode_png, fit_portrait, portrait_key
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
    pixels = decode(data, name=name)
    portrait = fit_portrait(pixels, size, name=name)
    height, width, _ = pixels.shape
    picture = Picture(
        key=portrait_key(portrait),
        name=name,
        width=width,
        height=height,
        size=size,
        png=encode_png(portrait),
    )
    keep(session, store, picture)
    return picture.key


def keep(session: Session, store: Store, picture: Picture) -> None:
    """Keeps a portrait; one that is known already learns at most which photograph it is from.

    Raises:
        StoreError: The store cannot take a file.
    """
    labels, photo = picture.labels_png, picture.photo
    statement = insert(Portrait).values(
        sha256=picture.key,
        name=picture.name,
        width=picture.width,
        height=picture.height,
        side_px=picture.size,
        file_sha256=store.put(picture.png),
        labels_file_sha256=None if labels is None else store.put(labels),
        photo_file_sha256=None if photo is None else store.put(photo),
        crop=None if picture.crop is None else picture.crop.to_json(),
    )
    if photo is None:
        session.execute(statement.on_conflict_do_nothing())
        return
    origin = {name: statement.excluded[name] for name in ("photo_file_sha256", "crop")}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Portrait.sha256],
            set_=origin,
            where=Portrait.photo_file_sha256.is_(None),
        )
    )


def pixels(session: Session, store: Store, key: PortraitKey) -> Pixels:
    """A portrait's pixels, uint8 [R, R, 3].

    Raises:
        NotFound: No such portrait.
        StoreError: Its file is missing or damaged.
    """
    return decode(store.get(file_of(session, key)), name=f"portrait {key[:12]}")


def label_map(session: Session, store: Store, key: PortraitKey) -> LabelMap | None:
    """A portrait's own label map, uint8 [h, h]; None when the parser is to be asked.

    Raises:
        StoreError: Its file is missing or damaged.
    """
    query = select(Portrait.labels_file_sha256).where(Portrait.sha256 == key)
    digest = session.scalar(query)
    return None if digest is None else decode_labels(store.get(digest))


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


def pictures(
    session: Session, store: Store, keys: Iterable[PortraitKey]
) -> dict[PortraitKey, Picture]:
    """The registered ones among `keys` as they were read, with their crops.

    Raises:
        StoreError: A file is missing or damaged.
    """
    return {
        key: Picture(
            key=key,
            name=row.name,
            width=row.width,
            height=row.height,
            size=row.side_px,
            png=store.get(row.file_sha256),
            labels_png=_kept(store, row.labels_file_sha256),
            photo=_kept(store, row.photo_file_sha256),
            crop=None if row.crop is None else Crop.from_json(dict(row.crop)),
        )
        for key, row in portraits(session, keys).items()
    }


def _kept(store: Store, sha256: str | None) -> bytes | None:
    return None if sha256 is None else store.get(sha256)

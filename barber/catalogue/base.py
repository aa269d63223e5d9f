"""What all tables share: types of columns, names of constraints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
HEX_DIGEST = "^[0-9a-f]{64}$"


def one_of(column: str, words: Iterable[str]) -> str:
    """A CHECK that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


def digest(column: str) -> str:
    """A CHECK that a column holds a SHA-256 in hex digits."""
    return f"{column} ~ '{HEX_DIGEST}'"


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and types of columns."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text,
        float: REAL,
        bytes: BYTEA,
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
    }

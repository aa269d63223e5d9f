"""The filesystem broker with whole messages only.

Kombu's own channel creates a message under its final name and then writes it, so a reader can take
an empty file; and it moves taken messages to the system's temporary folder, which may be another
disk. Here a message appears by one rename and is taken by one rename within the broker's folder.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str, str_to_bytes
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """Queues as files `<milliseconds>_<uuid>.<queue>.msg`, oldest first."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        unfinished = folder / f"new-{name}.part"
        try:
            unfinished.write_bytes(str_to_bytes(dumps(payload)))
            unfinished.rename(folder / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ChannelError(f"cannot write a message to {folder}: {error}") from error

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in _names(folder):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f"taken-{name}.part"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # another consumer was quicker
            written = taken.read_bytes()
            taken.unlink()
            payload = _sound(written)
            if payload is not None:
                return payload
        raise Empty


def _names(folder: Path) -> list[str]:
    """The messages in order; none while the folder is away, for a worker outlives its broker."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 (names, 20 times a second)
    except FileNotFoundError:
        return []


def _sound(written: bytes) -> dict[str, Any] | None:
    """A file's message; None, and a record of it, when kombu could not make one of it."""
    try:
        payload = loads(bytes_to_str(written))
        if isinstance(payload["properties"]["delivery_info"], dict):
            return dict(payload)
    except (ValueError, TypeError, KeyError):
        pass
    from workers.consumer import refuse  # which reaches this module through Celery's application

    refuse("the file is no message of the folder broker", written.decode("utf-8", "replace"))
    return None


class Transport(filesystem.Transport):
    """The filesystem transport on that channel."""

    Channel = Channel

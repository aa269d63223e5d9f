"""Celery's result backend on the catalogue's server, without its way into pickle.

Chords need a backend that says which header tasks are over. Celery 5.7's database backend unpickles
a stored result that is not valid JSON but looks like a pickle, so whoever can write a row of
`celery_taskmeta` could run code in every reader.

It also keeps its connections: Celery opens one per result unless the process was forked, and ours
are spawned.
"""

from __future__ import annotations

from typing import Any

from celery.backends.database import DatabaseBackend
from kombu.utils.encoding import ensure_bytes


class ResultBackend(DatabaseBackend):
    """The database backend, reading results in the configured serializer only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.session_manager.forked = True  # which to Celery means: a pool of this process's own

    def _decode_stored_result(self, payload: Any) -> Any:
        return payload if payload is None else self.decode(ensure_bytes(payload))

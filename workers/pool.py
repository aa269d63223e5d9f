"""A pool of one child that may be killed at any moment, also while it waits for work.

Billiard's children take turns at one pipe, by a lock that a waiting child holds. Killed then (by
the kernel for want of memory, by an operator), it never gives the lock back: its successor loads
its networks, says that it is ready, and waits for ever. One child needs no turns.

Brokers that Celery serves from an event loop (RabbitMQ, Redis) have a pipe for each child and do
not come here; the folder broker does.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from billiard.pool import Pool
from celery.concurrency.prefork import TaskPool


class NoLock:
    """Stands where one reader, or one writer, needs no lock."""

    def acquire(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        """There is nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """There is nothing to give back."""


class _OneChild(Pool):
    def _setup_queues(self) -> None:
        super()._setup_queues()
        for queue in (self._inqueue, self._outqueue):
            queue._rlock = queue._wlock = NoLock()


class OneChildPool(TaskPool):
    """Celery's prefork pool; only for a concurrency of 1."""

    BlockingPool: Any = _OneChild

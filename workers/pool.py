"""A pool of one child that may be killed at any moment, also while it waits for work.

Billiard's children take turns at one pipe, by a lock that a waiting child holds. Killed then (by
the kernel for want of memory, by an operator), it never gives the lock back: its successor loads
its networks, says that it is ready, and waits for ever. One child needs no turns.

The one other that writes to the child's pipe for results is its parent, which says there at the
end that no more will come. A large result is two writes, and that word came between them: then the
worker died of the results that it could not read. Now the word goes by a pipe of its own.

Brokers that Celery serves from an event loop (RabbitMQ, Redis) have a pipe for each child and do
not come here; the folder broker does.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from billiard.connection import wait
from billiard.pool import Pool
from billiard.queues import SimpleQueue
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


class _Results(SimpleQueue):
    """What the child sends; `end` is what the parent tells itself."""

    def __init__(self, context: Any) -> None:
        super().__init__(ctx=context)
        self.end = context.SimpleQueue()

    def put(self, result: Any) -> None:
        if result is None:
            self.end.put(None)
        else:
            super().put(result)

    def poll(self, timeout: float) -> tuple[bool, Any]:
        """Whether there was anything within that many seconds, and what: results, then None."""
        ready = wait([self._reader, self.end._reader], timeout)
        if self._reader in ready:
            return True, self._reader.recv()
        return bool(ready), self.end.get() if ready else None


class _OneChild(Pool):
    def _setup_queues(self) -> None:
        super()._setup_queues()
        self._outqueue = _Results(self._ctx)
        self._quick_get = self._outqueue._reader.recv
        self._poll_result = self._outqueue.poll
        for queue in (self._inqueue, self._outqueue):
            queue._rlock = queue._wlock = NoLock()


class OneChildPool(TaskPool):
    """Celery's prefork pool; only for a concurrency of 1."""

    BlockingPool: Any = _OneChild

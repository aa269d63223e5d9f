"""Where a training's batches come from; people may be drawn ahead, in processes of their own."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Protocol, Self

from torch import nn

from barber.faces.batches import FaceBatch, draw_batch

_Key = tuple[int, int, int, int]  # seed, number, count, side
_KNOWN_SEED, _UNSEEN_SEED = 900_001, 900_002


class Source(Protocol):
    """Gives batches by number, the same whenever it is asked."""

    @property
    def codes(self) -> nn.Module | None:
        """Learnt with the generator; None when a code makes its picture."""

    def get(self, seed: int, number: int, count: int, side: int) -> FaceBatch:
        """The batch of a run's step; arguments as in `draw_batch`."""

    def known(self, number: int, count: int, side: int, *, mixed: bool) -> FaceBatch:
        """A batch to judge a generator by: pictures whose codes are known."""

    def unseen(self, number: int, count: int, side: int) -> FaceBatch:
        """A batch to judge a parser by: pictures that no training has seen."""


class BatchSource:
    """Gives batches by number; with painters, the next ones are drawn while one is learnt from.

    The batches are the same with any number of painters.

    Args:
        painters: Processes that draw; 0 draws here, when asked.
    """

    codes: nn.Module | None = None

    def __init__(self, painters: int = 0) -> None:
        self._depth = 2 * painters
        self._waiting: dict[_Key, Future[FaceBatch]] = {}
        self._pool = (
            ProcessPoolExecutor(painters, mp_context=get_context("spawn")) if painters else None
        )

    def get(self, seed: int, number: int, count: int, side: int) -> FaceBatch:
        """The batch of a run's step; arguments as in `draw_batch`."""
        if self._pool is None:
            return draw_batch(seed, number, count, side)
        wanted = [(seed, number + k, count, side) for k in range(self._depth + 1)]
        for key in [key for key in self._waiting if key not in wanted]:
            self._waiting.pop(key).cancel()  # of another side, or behind us after a resume
        for key in wanted:
            if key not in self._waiting:
                self._waiting[key] = self._pool.submit(draw_batch, *key)
        return self._waiting.pop(wanted[0]).result()

    def known(self, number: int, count: int, side: int, *, mixed: bool) -> FaceBatch:
        """As `Source.known`; the codes are of people whom no training has drawn."""
        return draw_batch(_KNOWN_SEED, number, count, side, mixed=mixed)

    def unseen(self, number: int, count: int, side: int) -> FaceBatch:
        """As `Source.unseen`."""
        return draw_batch(_UNSEEN_SEED, number, count, side, mixed=False)

    def close(self) -> None:
        """Ends the painters."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

"""The pool's one child, killed while it waits for work."""

from __future__ import annotations

import os
import signal
import struct
import time
from contextlib import suppress

from billiard import get_context
from billiard.reduction import ForkingPickler

from workers.pool import NoLock, _OneChild, _Results


def test_the_next_child_works_when_one_was_killed_while_it_waited() -> None:
    pool = _OneChild(processes=1, context=get_context("spawn"))
    try:
        first = pool.apply_async(os.getpid).get(timeout=60)
        time.sleep(0.2)  # it goes back to its pipe, which nothing tells
        os.kill(first, signal.SIGKILL)
        with suppress(ChildProcessError):  # the pool was quicker
            os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # until then it may still read
        assert pool.apply_async(os.getpid).get(timeout=40) != first
    finally:
        pool._inqueue._rlock = NoLock()  # a pool that failed here could not be ended otherwise
        pool.terminate()
        pool.join()


def test_the_word_that_no_more_will_come_does_not_fall_into_a_large_result() -> None:
    results = _Results(get_context("spawn"))
    assert results.poll(0) == (False, None)
    large = bytes(ForkingPickler.dumps("x" * 20_000))  # the pipe takes it as two writes
    results._writer._send(struct.pack("!i", len(large)))
    results.put(None)
    results._writer._send(large)

    assert results.poll(1) == (True, "x" * 20_000)
    assert results.poll(1) == (True, None)
    assert results.poll(0) == (False, None)


def test_a_pool_that_closes_delivers_what_is_under_way() -> None:
    pool = _OneChild(processes=1, context=get_context("spawn"))
    large = [pool.apply_async(bytes, (20_000,)) for _ in range(5)]
    pool.close()
    pool.join()
    assert [result.get(timeout=0) for result in large] == [bytes(20_000)] * 5

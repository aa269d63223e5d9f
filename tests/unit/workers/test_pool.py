"""The pool's one child, killed while it waits for work."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from billiard import get_context

from workers.pool import NoLock, _OneChild


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

"""A pool child ends with its worker, and not before.

Celery has the kernel kill a child when the thread that started it ends. A child that took the place
of another was started by a thread of the pool's, which ends when its worker begins to shut down: in
the middle of the stage that was to be finished or handed back. So the child watches by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1  # of Linux's prctl
EVERY_S = 0.5


def end_with_parent() -> None:
    """Has this process, whose main thread must call, end with its parent process, not a thread."""
    if sys.platform != "linux":
        return
    parent = os.getppid()  # were it gone already, the kernel would have killed this process
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)
    threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)

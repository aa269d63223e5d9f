"""How a pool child ends itself or its worker, and what their exit codes say."""

from __future__ import annotations

import os
import signal

# Between a pool's parent and its child. Down: the worker leaves. Up: the child cannot serve.
# The pool takes every signal that would end a process; this one is ignored when nobody listens.
PARTING_SIGNAL = signal.SIGURG
REFUSED_EXIT_CODE = 2  # of a worker: settings or bundle at fault, starting again does not help
OVERDUE_EXIT_CODE = 3  # of a worker: the drain was over before its stage could be handed back
STICKY_EXIT_CODE = 70  # of a child: after an error that its process cannot get over


def end_process() -> None:
    """Ends this child at once; the pool starts another. For when the rest of it cannot be trusted:
    nothing is cleaned up, and other threads may hang for ever.
    """
    os._exit(STICKY_EXIT_CODE)


def stop_worker() -> None:
    """Asks the parent to stop as a failure: a new child would meet the same fault."""
    os.kill(os.getppid(), PARTING_SIGNAL)

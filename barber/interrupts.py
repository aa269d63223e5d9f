"""Ctrl-C while a program is still loading: one line and the code 130, never a trace.

An import that is interrupted prints a trace, or leaves half a library behind. Nothing heavy is
imported here, because this comes before everything else.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130


def leave(*_: object) -> None:
    """Ends the process at once: nothing has begun yet that would need to be undone."""
    told = b'{"error": {"code": "interrupted", "message": "interrupted"}}\n'
    os.write(2, told if "--json" in sys.argv else b"barber: interrupted\n")
    os._exit(INTERRUPTED)


@contextmanager
def loading() -> Iterator[None]:
    """While libraries are imported, Ctrl-C ends the process instead of raising in their midst."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

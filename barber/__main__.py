"""The `barber` command as a program: `barber`, or `python -m barber`."""

import os
import signal
import sys

from barber.interrupts import leave


def main() -> None:
    """Runs the command of this process and ends the process with its code."""
    listens = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # a shell's job in background
    if listens:
        signal.signal(signal.SIGINT, leave)
    from barber import cli

    def ready() -> None:
        """From here on Ctrl-C raises, so that a verb can clean up."""
        if listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    code = cli.run(sys.argv[1:], os.environ, ready=ready)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said, and the interpreter cleans up
    sys.exit(code)


if __name__ == "__main__":
    main()

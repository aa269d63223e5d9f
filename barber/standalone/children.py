"""A supervised child process: it has a log of its own, is restarted, and stopped with its kin."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from barber.errors import SettingsError

QUICK_S = 60.0  # a child that ends sooner after its start did not work at all
MAX_QUICK_ENDS = 3
FIRST_PAUSE_S = 0.5  # before a restart; doubles with every quick end
LOG_LIMIT_BYTES = 20 * 2**20  # a larger log is put aside at the next start
REFUSED_CODE = 2  # the code of a child that says itself that starting again does not help
PR_SET_PDEATHSIG = 1


class Child:
    """One program of the system, in a session of its own so that Ctrl-C reaches only us.

    Args:
        name: Its name in messages, and of its log.
        command: Its arguments.
        environ: Its whole environment.
        log_file: Its output is appended here; None for where ours goes.
        patient: Start it again at once, however often it ends; for chaos runs, which kill it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        log_file: Path | None,
        patient: bool = False,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = list(command)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._quick_ends = 0
        self._patient = patient
        self._start_again_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        with self._output() as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        self._started_at = time.monotonic()
        self._start_again_at = None

    @contextlib.contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        """Where the program writes to; a log that has grown long is put aside first."""
        if self.log_file is None:
            yield None
            return
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_LIMIT_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".old.log"))
        with self.log_file.open("ab") as log:
            yield log

    def tend(self) -> str | None:
        """Restarts the child when it has ended.

        Returns:
            A sentence when something happened.

        Raises:
            SettingsError: It ended right after its start too often; its log is named.
        """
        if self._process is None or self._process.poll() is None:
            return None
        now = time.monotonic()
        if self._start_again_at is None:
            return self._ended(now)
        if now >= self._start_again_at:
            self.start()
        return None

    def _ended(self, now: float) -> str:
        """Notes the end and when to start again."""
        assert self._process is not None
        end_group(self._process.pid)
        how = describe_exit(self._process.returncode)
        said = f"{last_line(self.log_file)} (see {self.log_file})"
        if self._process.returncode == REFUSED_CODE:
            raise SettingsError(f"{self.name} does not start: {said}")
        quick = now - self._started_at < QUICK_S and not self._patient
        self._quick_ends = self._quick_ends + 1 if quick else 0
        if self._quick_ends >= MAX_QUICK_ENDS:
            raise SettingsError(
                f"{self.name} {how}, {self._quick_ends} times in a row soon after its start: {said}"
            )
        pause_s = FIRST_PAUSE_S * 2**self._quick_ends
        self._start_again_at = now + pause_s
        return f"{self.name} {how}; it starts again in {pause_s:.0f} s (see {self.log_file})"

    def ask_to_stop(self) -> None:
        """Sends the polite signal; `finish` waits for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def finish(self) -> None:
        """Ends the child and everything that it started, whatever state it is in."""
        if self._process is None:
            return
        end_group(self._process.pid)
        self._process.wait()
        self._process = None


def stop_all(
    children: Sequence[Child], limit_s: float, *, hurry: Callable[[], bool] = lambda: False
) -> None:
    """Stops children together: politely, then after `limit_s` (or when `hurry`) by force."""
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + limit_s
    while not all(child.has_ended() for child in children):
        if time.monotonic() > deadline or hurry():
            break
        time.sleep(0.02)
    for child in children:
        child.finish()


def end_group(pid: int) -> None:
    """Kills what is left of the session that process `pid` led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def last_line(log_file: Path | None) -> str:
    """The last line of a log that says something."""
    if log_file is None:
        return "see its output"
    with contextlib.suppress(OSError):
        lines = log_file.read_bytes()[-4096:].decode(errors="replace").splitlines()
        for line in reversed(lines):
            if line.strip():
                return line.strip()
    return "it said nothing"


def end_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """What a child does before its program starts, so that it does not outlive us.

    On Linux the kernel then sends `sign` when the thread that started it is gone, even one that
    was killed and could stop nothing itself. Elsewhere None: the next start clears up.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(sign))

"""`barber worker`: workers of this machine, one process a device, looked after, ended together."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType

from sqlalchemy.exc import DBAPIError

from barber.catalogue.db import open_engine
from barber.settings import Settings
from barber.standalone.children import (
    FIRST_PAUSE_S,
    QUICK_S,
    REFUSED_CODE,
    Child,
    describe_exit,
    end_group,
    stop_all,
)
from barber.standalone.handover import hand_back_stages
from barber.standalone.names import name_workers

TICK_S = 0.2
LONGEST_PAUSE_S = 300.0  # between the end of a worker and its next start
LAST_WORD_S = 15.0  # after the drain, for a worker to hand its stage back and to end
WORKER_MODULE = "workers.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What `barber worker` was asked for."""

    devices: Sequence[str]  # a process for each; ("none",) for a worker without stages
    queues: str  # "gpu", "cpu" or both with a comma
    name: str  # of the worker; several get their device's behind it


class Member(Child):
    """A worker that is started again for as long as its fleet lives, after longer and longer waits.

    One that refuses to start (its device has gone, say) is asked again now and then: the others
    of its fleet go on without it.
    """

    refused = False

    def start(self) -> None:
        self.refused = False
        super().start()

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None while it runs or when it never did."""
        return self._process.poll() if self._process else None

    def _ended(self, now: float) -> str:
        assert self._process is not None
        end_group(self._process.pid)
        code = self._process.returncode
        self.refused = code == REFUSED_CODE
        self._quick_ends = self._quick_ends + 1 if now - self._started_at < QUICK_S else 0
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self._quick_ends)
        if self.refused:
            pause_s = LONGEST_PAUSE_S
        self._start_again_at = now + pause_s
        what = "does not start" if self.refused else describe_exit(code)
        return f"{self.name} {what}; it starts again in {pause_s:.0f} s"


class Fleet:
    """The workers of one `barber worker`.

    Args:
        settings: Theirs, but for the device.
        options: What was asked for.
        environ: The process environment; its BARBER_ variables give way to the settings.
        say: Takes one sentence for the log.
    """

    def __init__(
        self,
        settings: Settings,
        options: FleetOptions,
        *,
        environ: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._settings, self._say = settings, say
        kept = {k: v for k, v in environ.items() if not k.startswith("BARBER_")}
        kept |= {"PYTHONUNBUFFERED": "1"}
        kept.setdefault("OMP_NUM_THREADS", str(settings.threads))
        self._members = [
            Member(
                name,
                [sys.executable, "-m", WORKER_MODULE, "--queues", options.queues, "--name", name],
                environ=kept | replace(settings, device=device).to_env(),
                log_file=None,
            )
            for name, device in name_workers(options.name, options.devices)
        ]
        self._interrupts = 0

    def run(self) -> int:
        """Looks after the workers until told to stop; returns the exit code.

        0 when all of them drained in good order, 2 when none of them could start, 1 otherwise.
        """
        old = {sign: signal.signal(sign, self._on_signal) for sign in _signals()}
        try:
            for member in self._members:
                member.start()
                self._say(f"{member.name} started (process {member.pid})")
            while not self._interrupts and not all(m.refused for m in self._members):
                for happened in filter(None, [member.tend() for member in self._members]):
                    self._say(happened)
                time.sleep(TICK_S)
            return self._stop() if self._interrupts else REFUSED_CODE
        finally:
            stop_all(self._members, 0.0)
            for sign, handler in old.items():
                signal.signal(sign, handler)

    def _stop(self) -> int:
        """Has every worker drain; what does not end in time is killed, its stage handed back."""
        alive = [member for member in self._members if not member.has_ended()]
        self._say(f"stopping: the stages at hand have {self._settings.drain_s:.0f} s")
        for member in alive:
            member.ask_to_stop()
        deadline = time.monotonic() + self._settings.drain_s + LAST_WORD_S
        while not all(member.has_ended() for member in alive):
            if time.monotonic() > deadline or self._interrupts > 1:
                break
            time.sleep(TICK_S / 4)
        in_order = (0, -signal.SIGTERM)  # the latter where one had hardly begun
        rough = [member.name for member in alive if member.exit_code not in in_order]
        stop_all(self._members, 0.0)
        self._hand_back(rough)
        self._say(f"stopped; ended by force: {', '.join(rough)}" if rough else "stopped")
        return 1 if rough else 0

    def _hand_back(self, names: Sequence[str]) -> None:
        """Best effort: where the catalogue is gone already, the leases do the same later."""
        if not names:
            return
        engine = open_engine(self._settings, application="barber worker")
        try:
            hand_back_stages(engine, names)
        except DBAPIError as error:
            self._say(f"running stages wait for their leases to end: {error.orig}")
        finally:
            engine.dispose()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1


def _signals() -> list[signal.Signals]:
    """Those that ask to stop; without SIGHUP when we were started to outlive the terminal."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked

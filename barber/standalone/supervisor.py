"""`barber up`: Postgres, dispatcher, workers and console as children of one process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from sqlalchemy.exc import DBAPIError

from barber.catalogue.audit import local_user
from barber.catalogue.db import open_engine
from barber.catalogue.migrate import upgrade
from barber.chaos.rules import TOY_BUNDLE, ChaosRules
from barber.errors import CheckpointError, SettingsError
from barber.manifest import SHIPPED, FileRecord, find_bundle, read_manifest
from barber.settings import DATABASE_DRIVER, Settings
from barber.standalone.broker import check_broker_address
from barber.standalone.children import Child, stop_all
from barber.standalone.entrance import entrance
from barber.standalone.handover import hand_back_stages
from barber.standalone.home import Home, Running
from barber.standalone.postgres import EmbeddedPostgres, free_port

EMBEDDED = f"{DATABASE_DRIVER}://"  # stands for the address of a server yet to be started
CONSOLE_PORT = 8008  # taken when it is free and none was asked for
WORKER_DRAIN_S = 3.0  # for a stage that is nearly done; what is not goes back to the queue
WORKER_STOP_S = 5.0  # then by force
OTHER_STOP_S = 5.0
CONSOLE_START_S = 60.0
TICK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `barber up` was asked for; None leaves the environment's setting, or our choice."""

    home: Path
    port: int | None = None  # of the console; 0: any free one
    workers: int | None = None  # for the gpu queue
    bundle: str | None = None
    device: str | None = None
    rules: ChaosRules | None = None  # a chaos run: toy stages, children that may be killed


class Supervisor:
    """The whole system on one machine, from `__enter__` to `__exit__`.

    Args:
        options: What was asked for.
        environ: The process environment; its BARBER_ variables are the defaults.
        say: Takes one sentence for the person in front of the terminal.
    """

    def __init__(
        self,
        options: UpOptions,
        *,
        environ: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._environ = environ
        self._say = say
        self._home = Home(options.home)
        self._postgres: EmbeddedPostgres | None = None
        self._workers: list[Child] = []
        self._others: list[Child] = []
        self._interrupts = 0
        self._old_handlers: dict[signal.Signals, signal.Handlers | object] = {}
        self.settings: Settings
        self.console = ""

    def __enter__(self) -> Self:
        """Starts everything.

        Raises:
            SettingsError: Something of the environment stands in the way; the sentence says what.
            CheckpointError: The bundle is unknown or does not match its manifest.
        """
        port = _console_port(self._options.port)
        chosen = self._chosen_settings()
        check_broker_address(chosen.broker_url)
        self._home.__enter__()
        try:
            self._home.clear_unfinished()
            self._catch_signals()
            self.settings = self._start_database(chosen)
            self._start_children(port)
            self._wait_for_console(port)
            self._home.announce(
                Running(
                    pid=os.getpid(),
                    database_url=self.settings.database_url,
                    console=self.console,
                    bundle=self.settings.bundle,
                )
            )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops everything: workers first, so that they can still hand their stages back."""
        before = max(self._interrupts, 1)

        def hurry() -> bool:
            return self._interrupts > before  # a second Ctrl-C

        try:
            stop_all(self._workers, WORKER_STOP_S, hurry=hurry)
            self._hand_back_stages()
            stop_all(self._others, OTHER_STOP_S, hurry=hurry)
            if self._postgres is not None:
                self._postgres.stop()
            self._home.clear_unfinished()
        finally:
            self._home.__exit__(None, None, None)
            for sign, handler in self._old_handlers.items():
                signal.signal(sign, handler)  # type: ignore[arg-type]

    def _hand_back_stages(self) -> None:
        """Best effort: where the catalogue is gone already, the leases do the same later."""
        if not self._workers:
            return
        engine = open_engine(self.settings, application="barber up")
        try:
            hand_back_stages(engine, [worker.name for worker in self._workers])
        except DBAPIError as error:
            self._say(f"running stages wait for their leases to end: {error.orig}")
        finally:
            engine.dispose()

    def entrance(self) -> str:
        """An address that lets whoever started the system into the console, once."""
        return entrance(self.settings, self.console, local_user())

    @property
    def stopping(self) -> bool:
        """Whether somebody asked us to stop (Ctrl-C, SIGTERM)."""
        return self._interrupts > 0

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now, by name; the embedded database is "postgres"."""
        found = {child.name: child.pid for child in [*self._others, *self._workers]}
        if self._postgres is not None and self._postgres.process is not None:
            found["postgres"] = self._postgres.process.pid
        return {name: pid for name, pid in found.items() if pid is not None}

    def tend(self) -> None:
        """Looks after the children once; to be called a few times a second.

        Raises:
            SettingsError: A child does not stay up.
        """
        if self._postgres is not None and self._postgres.has_ended():
            self._say("the database ended; it starts again")
            self._postgres.restart()
        for child in [*self._others, *self._workers]:
            happened = child.tend()
            if happened:
                self._say(happened)

    def run(self) -> None:
        """Looks after the children until somebody asks us to stop."""
        while not self.stopping:
            self.tend()
            time.sleep(TICK_S)

    def _chosen_settings(self) -> Settings:
        """The environment's settings with the options on top, each checked.

        Raises:
            SettingsError: A variable is malformed.
            CheckpointError: The bundle is unknown or damaged.
        """
        given = {name: value for name, value in self._environ.items() if value}
        settings = Settings.from_env({"BARBER_DATABASE_URL": EMBEDDED, **given})
        device = self._options.device or settings.device
        return replace(
            settings,
            home=self._home.path,
            bundle=self._chosen_bundle(settings),
            chaos=self._options.rules.as_text() if self._options.rules else settings.chaos,
            device=device,
            drain_s=min(settings.drain_s, WORKER_DRAIN_S),
        )

    def _chosen_bundle(self, settings: Settings) -> str:
        if self._options.rules:
            return TOY_BUNDLE
        return check_bundle(self._options.bundle or settings.bundle, settings.bundles_dir)

    def _start_database(self, settings: Settings) -> Settings:
        """The settings with the catalogue's address, once it is there and up to date."""
        if settings.database_url == EMBEDDED:
            self._postgres = EmbeddedPostgres(self._home.postgres)
            settings = replace(settings, database_url=self._postgres.start())
        upgrade(settings.database_url)
        return settings

    def _worker_count(self, device: str) -> int:
        if self._options.workers is not None:
            return self._options.workers
        return _cpus() if device == "cpu" else 1

    def _start_children(self, port: int) -> None:
        worker = ["workers.worker", "--queues"]
        self._others = [
            self._child("dispatcher", "workers.dispatcher"),
            self._child("console", "dashboard", "--host", "127.0.0.1", "--port", str(port)),
        ]
        self._workers = [self._child("cpu-1", *worker, "cpu", "--name", "cpu-1")]
        for number in range(1, self._worker_count(self.settings.device) + 1):
            name = f"gpu-{number}"
            self._workers.append(self._child(name, *worker, "gpu", "--name", name))
        for child in [*self._others, *self._workers]:
            child.start()

    def _child(self, name: str, module: str, *arguments: str) -> Child:
        environ = {k: v for k, v in self._environ.items() if not k.startswith("BARBER_")}
        environ |= self.settings.to_env() | {"PYTHONUNBUFFERED": "1"}
        environ.setdefault("OMP_NUM_THREADS", str(self.settings.threads))
        command = [sys.executable, "-m", module, *arguments]
        log_file = self._home.logs / f"{name}.log"
        patient = self._options.rules is not None
        return Child(name, command, environ=environ, log_file=log_file, patient=patient)

    def _wait_for_console(self, port: int) -> None:
        self.console = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + CONSOLE_START_S
        while not _answers(f"{self.console}health"):
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"the console does not answer on {self.console}: "
                    f"see {self._home.logs / 'console.log'}"
                )
            if self.stopping:
                return
            self.tend()
            time.sleep(0.05)

    def _catch_signals(self) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if sign is signal.SIGHUP and signal.getsignal(sign) is signal.SIG_IGN:
                continue  # started with nohup: the terminal may go
            self._old_handlers[sign] = signal.signal(sign, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1


def check_bundle(name_or_path: str, bundles: Path | None = None) -> str:
    """A bundle whose every file is what its manifest says, as workers anywhere can find it.

    Args:
        name_or_path: Of a bundle.
        bundles: Where your own bundles lie: `Settings.bundles_dir`.

    Returns:
        The name of a shipped bundle, or the absolute path of another.

    Raises:
        CheckpointError: The bundle is unknown, or a file is missing or of other content.
    """
    path = find_bundle(name_or_path, bundles).absolute()
    for name, record in read_manifest(path).files.items():
        if not (path / name).is_file() or FileRecord.of(path / name) != record:
            raise CheckpointError(
                f"{name} of the bundle {path} does not match its manifest: copy the bundle again"
            )
    return path.name if path.parent == SHIPPED.absolute() else str(path)


def _cpus() -> int:
    """The processors that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _console_port(asked: int | None) -> int:
    """The port that the console gets.

    Raises:
        SettingsError: The one asked for is in use.
    """
    if asked == 0:
        return free_port()
    port = CONSOLE_PORT if asked is None else asked
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if asked is None:
                return free_port()
            raise SettingsError(
                f"port {port} cannot be used ({error.strerror}): give another with --port, "
                "or leave it out for a free one"
            ) from error
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own http address)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

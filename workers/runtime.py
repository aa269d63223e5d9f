"""What one pool child holds: its database engine and, when it serves stages, its loaded bundle.

Loaded once per child, never in the parent: the parent imports this module and must stay without
torch and without a device. A spawned child finds its settings in its environment.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import billiard.pool as billiard_pool
from celery import current_app
from celery.signals import worker_process_init, worker_process_shutdown
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from barber.catalogue import dispatch
from barber.catalogue import workers as roster
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.status import WorkerStatus
from barber.chaos.rules import DROPPED, ChaosRules
from barber.errors import BarberError
from barber.plan import METHOD_VERSION
from barber.settings import Settings
from workers.app import GPU
from workers.bench import Bench
from workers.endings import PARTING_SIGNAL, end_process, stop_worker
from workers.memory import footprint, held_kib
from workers.parent import end_with_parent

log = logging.getLogger(__name__)

LEAST_ALIVE_S = 10.0  # of silence, however short the leases are: the machine may be busy


@dataclass(kw_only=True)
class Runtime:
    """One pool child."""

    name: str  # of the worker, as in the catalogue
    queues: Sequence[str]
    device: str  # "none" on a worker without the stages' queue
    versions: Mapping[str, str]  # what results depend on
    warm_up_s: float  # from the call of `start` until a stage could be taken
    alive_s: float  # this worker counts as lost when nothing is heard of it for so long
    engine: Engine
    bench: Bench | None  # None on a worker without the stages' queue
    rules: ChaosRules | None = None  # of a chaos run
    ended: threading.Event = field(default_factory=threading.Event)
    news: threading.Event = field(default_factory=threading.Event)  # to be shown at once
    writing: threading.Lock = field(default_factory=threading.Lock)  # of this worker's row
    me: roster.Process = field(
        default_factory=lambda: roster.Process(socket.gethostname(), os.getpid())
    )
    busy: bool = False
    worked: bool = False  # whether it has taken a stage yet

    def run_stage(self, stage_id: int, generation: int) -> bool:
        """Works on one stage; ends this process, or the worker, when the verdict says so.

        Returns:
            Whether the message did its work or was not needed any more.
        """
        assert self.bench is not None, "a stage came to a worker without the stages' queue"
        if self.rules and self.rules.falls(self.rules.drop, stage_id, generation, "drop"):
            log.info(DROPPED)
            return False  # as if the message had never come
        self.busy = True
        try:
            outcome = self.bench.run_lost_before(stage_id, generation)
            if not outcome.claimed:
                outcome = self.bench.run(stage_id, generation)
        finally:
            self.busy = False
        self.worked = self.worked or outcome.claimed
        if outcome.verdict is not None and outcome.verdict.ends_worker:
            stop_worker()
        if outcome.verdict is not None and outcome.verdict.ends_process:
            log.error("this process cannot go on and ends", extra={"worker": self.name})
            end_process()
        return outcome.succeeded or not outcome.claimed

    def fan_in(self, job_id: int, generation: int) -> bool:
        """Offers the job's blend when everything before it has succeeded."""
        if self.rules and self.rules.falls(self.rules.drop, job_id, generation, "drop fan-in"):
            log.info(DROPPED)
            return False
        with transaction(self.engine) as session:
            return dispatch.offer_blend(session, job_id, generation)

    def show_presence(self, every_s: float) -> None:
        """Enters the worker in the catalogue and keeps its row fresh until the process ends."""
        listed = False
        while True:
            with self.writing:
                if self.ended.is_set():
                    return
                try:
                    with transaction(self.engine) as session:
                        listed = self._show(session, listed)
                except DBAPIError as error:
                    log.warning("the catalogue cannot be reached: %s", error.orig)
            self.news.wait(every_s)
            self.news.clear()

    def _show(self, session: Session, listed: bool) -> bool:
        memory = footprint(self.device)
        facts: dict[str, Any] = {"status": self._status(), "alive_s": self.alive_s}
        if listed and roster.seen(session, self.name, by=self.me, memory=memory, **facts):
            return True
        other = roster.bearer(session, self.name) if listed else None
        if other is not None and other != self.me:
            log.error(
                "another worker is called %s too (process %d on %s), and only one can be listed: "
                "start one of them with another --name",
                *(self.name, other.pid, other.host),
            )
        else:
            roster.hello(session, self._introduction(memory), alive_s=self.alive_s)
        return True

    def _status(self) -> WorkerStatus:
        if self.bench is not None and self.bench.leaving:
            return WorkerStatus.DRAINING
        return WorkerStatus.BUSY if self.busy else WorkerStatus.READY

    def _introduction(self, memory: Mapping[str, int]) -> roster.Introduction:
        bundle = self.bench.bundle if self.bench else None
        return roster.Introduction(
            name=self.name,
            device=self.device,
            queues=list(self.queues),
            pid=self.me.pid,
            versions=self.versions,
            bundle=bundle.digest if bundle else None,
            bundle_name=bundle.name if bundle else None,
            host=self.me.host,
            memory=memory,
            warm_up_s=self.warm_up_s,
        )

    def drain(self) -> None:
        """Takes nothing new; a stage at hand has a while to end, then it is handed back."""
        if self.bench is not None:
            self.bench.leave_soon()
        self.news.set()

    def leave(self) -> None:
        """Marks the worker as gone."""
        self.ended.set()
        self.news.set()
        try:
            with self.writing, transaction(self.engine) as session:  # the last word on its row
                roster.bye(session, self.name, by=self.me)
        except DBAPIError as error:
            log.warning("the catalogue cannot be reached: %s", error.orig)


_runtime: Runtime | None = None


def run_stage(stage_id: int, generation: int) -> bool:
    """`Runtime.run_stage` of this process."""
    return _ready().run_stage(stage_id, generation)


def fan_in(job_id: int, generation: int) -> bool:
    """`Runtime.fan_in` of this process."""
    return _ready().fan_in(job_id, generation)


def _ready() -> Runtime:
    if _runtime is None:
        raise RuntimeError("this process has no runtime: its bundle could not be loaded")
    return _runtime


def start(settings: Settings, *, name: str, queues: Sequence[str]) -> Runtime:
    """Loads what the queues need.

    Raises:
        CheckpointError: The bundle is missing or damaged.
    """
    began = time.monotonic()
    engine = open_engine(settings, application=f"worker {name}")
    versions = {"python": platform.python_version(), "method": str(METHOD_VERSION)}
    rules = ChaosRules.parse(settings.chaos)
    bench: Bench | None = None
    if GPU in queues and rules:
        from workers.toy import ToyBench

        bench = ToyBench(rules, settings=settings, engine=engine, worker=name, versions=versions)
    elif GPU in queues:
        bundle, versions = _load(settings, versions)
        bench = Bench(
            settings=settings, engine=engine, bundle=bundle, worker=name, versions=versions
        )
    seconds = round(time.monotonic() - began, 2)
    log.info("ready", extra={"worker": name, "seconds": seconds})
    return Runtime(
        name=name,
        queues=queues,
        device=settings.device if bench else "none",
        versions=versions,
        warm_up_s=seconds,
        alive_s=max(settings.lease_s, LEAST_ALIVE_S),
        engine=engine,
        bench=bench,
        rules=rules,
    )


def _load(settings: Settings, versions: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """The bundle on the settings' device, and the versions that its results depend on."""
    import torch

    from barber.manifest import find_bundle
    from barber.models.bundle import ModelBundle
    from barber.models.devices import check_device
    from barber.models.machine import environment

    torch.set_num_threads(settings.threads)
    device = check_device(settings.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    bundle = ModelBundle.load(find_bundle(settings.bundle, settings.bundles_dir), device)
    return bundle, {**versions, **environment(bundle.device)}


def _recycle_by(settings: Settings) -> None:
    """Has the pool replace this process when it holds too much memory, after the stage at hand.

    The pool asks its own function after each task, which knows nothing of devices and tells the
    most that the process ever held, not what it holds. A process that has not worked yet holds
    what its successor would: a message in vain must not cost one.
    """

    def held() -> int:
        if _runtime is None or not _runtime.worked:
            return 1
        return held_kib(settings.device, settings.child_device_mb)

    billiard_pool.mem_rss = held


@worker_process_init.connect
def _begin(**_: Any) -> None:
    global _runtime
    end_with_parent()
    conf = current_app.conf
    name, queues = conf["barbershop_worker"], conf["barbershop_queues"]
    try:
        settings = Settings.from_env(os.environ)
        _runtime = start(settings, name=name, queues=queues)
    except Exception as error:  # Celery would log it and let the child serve without a bundle
        ours = isinstance(error, BarberError)
        log.error("the worker stops: %s", error, extra={"worker": name}, exc_info=not ours)
        stop_worker()
        return
    _recycle_by(settings)
    signal.signal(PARTING_SIGNAL, lambda *_: _runtime.drain() if _runtime else None)
    threading.Thread(
        target=_runtime.show_presence, args=(settings.lease_s / 3,), name="presence", daemon=True
    ).start()


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    if _runtime is not None:
        _runtime.leave()

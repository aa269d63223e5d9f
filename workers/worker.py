"""`python -m workers.worker --queues gpu --name gpu-0`: a Celery worker with one pool child.

SIGTERM begins a drain: nothing new is taken, and the stage at hand has BARBER_DRAIN_S to end, then
it is handed back at its next step. A stage that makes none is left to its lease: its process is
killed. The exit code says which (see `endings`).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from celery.exceptions import SecurityWarning
from celery.signals import worker_shutting_down
from celery.worker import state

from barber.chaos.rules import TOY_DIGEST
from barber.errors import BarberError, InputError
from barber.manifest import find_bundle, read_manifest
from barber.settings import Settings
from workers.app import GPU, QUEUES, add_stage_queue, cpu_queue, create_app
from workers.broker import check_broker
from workers.endings import OVERDUE_EXIT_CODE, PARTING_SIGNAL, REFUSED_EXIT_CODE
from workers.failpoints import Failpoints
from workers.limits import Limits
from workers.logs import configure_logging
from workers.pool import OneChildPool

log = logging.getLogger("workers.worker")  # not __name__: the module runs as __main__

LAST_WORD_S = 10.0  # after a drain, for a stage to hand itself back at its next step


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker until it is told to stop; returns the exit code."""
    options = _parser().parse_args(arguments)
    configure_logging()
    try:
        settings = Settings.from_env(os.environ)
        queues = _checked_queues(options.queues)
        Limits.of(settings)  # said here, once, rather than by every child
        Failpoints(settings)
        bundle = _bundle(settings) if GPU in queues else ""
        app = create_app(settings)
        check_broker(app)
    except BarberError as error:
        log.error("the worker does not start: %s", error)
        return REFUSED_EXIT_CODE
    # Root is no added risk to a worker that reads nothing but JSON.
    warnings.simplefilter("ignore", SecurityWarning)
    app.conf.update(barbershop_worker=options.name, barbershop_queues=queues)
    worker = app.Worker(
        hostname=f"{settings.queue_prefix}{options.name}@{socket.gethostname()}",
        queues=[add_stage_queue(app, bundle) if name == GPU else cpu_queue(app) for name in queues],
        pool=OneChildPool,
        concurrency=1,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    # As SIGTERM, which Celery handles, but with an exit code that tells a supervisor.
    signal.signal(PARTING_SIGNAL, lambda *_: setattr(state, "should_stop", REFUSED_EXIT_CODE))
    worker_shutting_down.connect(lambda **_: _drain(worker, settings.drain_s), weak=False)
    worker.start()
    return int(worker.exitcode or 0)


def _drain(worker: Any, drain_s: float) -> None:
    """Lets the children know that the worker leaves, and ends what does not end by itself."""
    for pid in _children(worker):
        with suppress(ProcessLookupError):
            os.kill(pid, PARTING_SIGNAL)
    overdue = threading.Timer(drain_s + LAST_WORD_S, _end_overdue, [worker])
    overdue.daemon = True
    overdue.start()


def _end_overdue(worker: Any) -> None:
    log.error("the stage at hand made no step in all that time: it is left to its lease")
    for pid in _children(worker):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(OVERDUE_EXIT_CODE)


def _children(worker: Any) -> list[int]:
    return list(worker.pool.info["processes"]) if worker.pool else []


def _bundle(settings: Settings) -> str:
    """The digest of the bundle that this worker serves.

    Raises:
        CheckpointError: There is no such bundle, or its manifest cannot be read.
    """
    if settings.chaos:
        return TOY_DIGEST
    return read_manifest(find_bundle(settings.bundle, settings.bundles_dir)).digest


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.worker", description=__doc__)
    parser.add_argument(
        "--queues", default=GPU, help="with commas between them: gpu (stages), cpu (fan-in)"
    )
    parser.add_argument("--name", required=True, help="the worker's name in the catalogue")
    return parser


def _checked_queues(text: str) -> list[str]:
    queues = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in queues if name not in QUEUES]
    if unknown or not queues:
        raise InputError(f"--queues is {text!r}: use gpu, cpu, or gpu,cpu")
    return queues


if __name__ == "__main__":
    sys.exit(main())

"""The real system for tests: dispatcher and workers as processes, on a real database and broker.

Every process gets a session of its own and is killed with its group; each writes a log, which a
failing wait quotes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from sqlalchemy import Engine

from barber.catalogue import jobs, portraits, workers
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.jobs import JobView
from barber.catalogue.store import Store
from barber.manifest import Manifest, read_manifest
from barber.models.checkpoints import write_bundle
from barber.pixels import encode_png
from barber.settings import Settings
from barber.spec import (
    AlignParams,
    BlendParams,
    JobSpec,
    PortraitKey,
    ReconstructParams,
    StageParams,
    TargetParams,
)
from tests.support.builders import hair_spec, submit
from tests.support.tiny_bundle import tiny_bundle

PROJECT = Path(__file__).resolve().parents[2]
BOOT_S = 180.0  # a worker imports torch, and the machine may be busy
T = TypeVar("T")

# Short pauses; the lease outlasts the stalls of a busy machine, and tests that kill shorten it.
QUICK: dict[str, Any] = {
    "threads": 1,
    "tick_s": 0.2,
    "lease_s": 15.0,
    "grace_s": 20.0,
    "sweep_s": 1.0,
    "backoff_s": 0.1,
    "progress_s": 0.1,
}


@dataclass
class Process:
    """A child process with its log."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """SIGKILL to the process and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=20)

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; returns the exit code."""
        self.popen.terminate()
        return self.popen.wait(timeout=timeout_s)


@dataclass
class System:
    """A catalogue with the processes that work on it; a context manager that ends them all."""

    settings: Settings
    logs: Path
    processes: list[Process] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)  # for processes started from now on

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = open_engine(self.settings, application="tests")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
        self.engine.dispose()

    def start_worker(
        self, name: str = "worker", *, queues: str = "gpu,cpu", **changes: Any
    ) -> Process:
        """Starts a worker; `wait_ready` tells when its bundle is loaded."""
        arguments = ["workers.worker", "--queues", queues, "--name", name]
        return self._start(name, arguments, changes)

    def start_dispatcher(self, **changes: Any) -> Process:
        return self._start("dispatcher", ["workers.dispatcher"], changes)

    def start_console(self, port: int = 0) -> str:
        """Starts the console, on a free port by itself; its address, without a slash at the end."""
        process = self._start("console", ["dashboard", "--port", str(port)], {})

        def address() -> str:
            found = re.search(r"console: (\S+)/", process.log.read_text())
            return found[1] if found else ""

        return self.wait(address, "the console to listen", BOOT_S)

    def wait_ready(self, *names: str) -> None:
        """Waits until these workers have entered themselves in the catalogue."""

        def check() -> bool:
            with transaction(self.engine) as session:
                listed = {row.name: row for row in workers.listed(session)}
            return all(n in listed and listed[n].status != "stopped" for n in names)

        self.wait(check, f"workers {names} to be ready", BOOT_S)

    def job(self, job_id: int) -> JobView:
        with transaction(self.engine) as session:
            return jobs.job(session, job_id)

    def wait_for_jobs(self, job_ids: Sequence[int], timeout_s: float = 150) -> list[JobView]:
        """Waits until the jobs have ended, in whichever way."""

        def check() -> bool:
            return all(self.job(job_id).row.status.final for job_id in job_ids)

        self.wait(check, f"jobs {list(job_ids)} to end", timeout_s)
        return [self.job(job_id) for job_id in job_ids]

    def wait(self, check: Callable[[], T], what: str, timeout_s: float = 90) -> T:
        """Polls until `check` is true; what it returned comes back."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := check():
                return found
            time.sleep(0.1)
        raise AssertionError(f"waited {timeout_s} s for {what}\n{self.story()}")

    def story(self) -> str:
        """The end of every log, for a failing test."""
        return "\n".join(
            f"--- {p.name} (exit {p.popen.poll()})\n{p.log.read_text()[-4000:]}"
            for p in self.processes
        )

    def _start(self, name: str, arguments: list[str], changes: dict[str, Any]) -> Process:
        settings = replace(self.settings, **changes)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
        log = self.logs / f"{name}-{len(self.processes)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=PROJECT,
                env={**kept, **settings.to_env(), "OMP_NUM_THREADS": "1", **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process


# Few steps: what the pictures look like is no matter here.
SHORT = StageParams(
    reconstruct=ReconstructParams(w_plus_steps=2, fs_steps=2),
    target=TargetParams(steps=2),
    align=AlignParams(identity_steps=2, reference_steps=2),
    blend=BlendParams(steps=3),
)


def write_tiny_bundle(path: Path, *, seed: int = 0) -> None:
    """Puts the tiny bundle on disk, where worker processes load it; one for each seed."""
    tiny = tiny_bundle(seed)
    write_bundle(
        path,
        name=f"tiny-{seed}" if seed else "tiny",
        geometry=tiny.geometry,
        generator=tiny.generator,
        segmenter=tiny.segmenter,
        vgg=tiny.perceptual.vgg,
        heads=tiny.perceptual.heads.state_dict(),
        pca=tiny.pca,
        w_avg=tiny.w_avg,
        presets={},
        licence=tiny.manifest.licence,
        source=tiny.manifest.source,
        scores={},
    )


@dataclass
class Client:
    """Somebody who submits jobs to a system that runs a bundle."""

    system: System
    manifest: Manifest
    store: Store

    @classmethod
    def of(cls, system: System, *, bundle: str | Path | None = None) -> Self:
        """A client of the system's own bundle, or of another."""
        manifest = read_manifest(Path(bundle or system.settings.bundle))
        return cls(system, manifest, Store(system.settings.store_dir))

    def portraits(self, *numbers: int) -> list[PortraitKey]:
        """Registers portraits; the same number is the same picture."""
        side = self.manifest.geometry.image_size
        with transaction(self.system.engine) as session:
            return [
                portraits.register(
                    session, self.store, picture(n, side), size=side, name=f"portrait-{n}.png"
                )
                for n in numbers
            ]

    def spec(self, *numbers: int, params: StageParams = SHORT, **changes: Any) -> JobSpec:
        """Identity, whose hair's shape, and, when given, whose hair's colour."""
        values = {"bundle": self.manifest.digest, "params": params, **changes}
        return replace(hair_spec(*self.portraits(*numbers)), **values)

    def submit(self, *specs: JobSpec, **options: Any) -> list[int]:
        """Submits a batch; returns the ids of its jobs."""
        return submit(self.system.engine, specs, **options)


def picture(number: int, side: int) -> bytes:
    """A PNG of coarse squares, another one for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return encode_png(np.kron(coarse, np.ones((side // 4, side // 4, 1), dtype=np.uint8)))


def outcomes(job: JobView) -> dict[tuple[str, int], list[str]]:
    """How the attempts of each stage ended, by kind and slot."""
    return {(s.kind.value, s.slot): [str(a.outcome) for a in s.attempts] for s in job.stages}

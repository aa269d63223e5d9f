"""Every stage on an FFHQ-sized bundle of the vectors' weights, on the CPU: time, memory, losses.

`make ffhq-sized` writes docs/ffhq-sized.md with it. The trained weights cannot be shipped; the
sizes of all networks are theirs, so are the seconds and the memory. The pictures show noise.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from barber.artifacts import Artifact, Portrait
from barber.labels import Region
from barber.pipeline import run_stage
from barber.pixels import portrait_key
from barber.plan import ArtifactKey, plan
from barber.spec import PRESETS, JobSpec, RegionEdit, StageParams, apply_settings
from barber.stages.descent import StepReport
from tests.conformance.bench import Bench
from tests.conformance.conftest import VECTORS

GIB = 2**30
SAMPLE_S = 0.05
STEPS = (
    "reconstruct.w_plus_steps",
    "reconstruct.fs_steps",
    "target.steps",
    "align.identity_steps",
    "align.reference_steps",
    "blend.steps",
)
OFFICIAL_STEPS = {"w_plus": 3300, "fs": 750, "fill": 160, "uncover": 160, "identity": 280}
OFFICIAL_STEPS |= {"reference": 200, "appearance": 400}  # of a job with three portraits


@dataclass(kw_only=True)
class Phase:
    """What was measured of one of the method's loops, over all stages that have it."""

    stage: str
    seconds: list[float] = field(default_factory=list)  # CPU's, every step but each loop's first
    peak: float = 0.0  # bytes of resident memory
    losses: list[float] = field(default_factory=list)  # totals of the first stage that has it


class Peak:
    """The most resident memory of this process since the last look, sampled by a thread."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def take(self) -> int:
        most, self._most = max(self._most, self._process.memory_info().rss), 0
        return most

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self._most = max(self._most, self._process.memory_info().rss)


class Log:
    """Listens to the steps of one stage."""

    def __init__(self, stage: str, phases: dict[str, Phase], peak: Peak) -> None:
        self._stage, self._phases, self._peak = stage, phases, peak
        self._previous: tuple[str, float] | None = None
        self._fresh: set[str] = set()
        peak.take()

    def on_step(self, report: StepReport) -> None:
        now = time.process_time()
        phase = self._phases.setdefault(report.phase, Phase(stage=self._stage))
        if not phase.losses:
            self._fresh.add(report.phase)
        if report.phase in self._fresh:
            phase.losses.append(report.losses["total"])
        if self._previous and self._previous[0] == report.phase:
            phase.seconds.append(now - self._previous[1])
        self._previous = (report.phase, now)
        phase.peak = max(phase.peak, self._peak.take())


def measure(size: int, params: StageParams) -> tuple[dict[str, Phase], float, float]:
    """Runs a job with three portraits; its phases, the idle memory in bytes, all CPU seconds."""
    bench = Bench(VECTORS)
    bundle, recipe = bench.bundle(size), bench.recipe
    pictures = [recipe.picture(name, size) for name in "abc"]
    portraits = {portrait_key(p): Portrait(sha256=portrait_key(p), pixels=p) for p in pictures}
    identity, structure, appearance = portraits
    spec = JobSpec(
        identity=identity,
        regions=(RegionEdit(labels=(Region.HAIR,), structure=structure, appearance=appearance),),
        bundle=bundle.digest,
        params=params,
    )
    done: dict[ArtifactKey, Artifact] = {}
    phases: dict[str, Phase] = {}
    gc.collect()
    idle, peak, began = float(psutil.Process().memory_info().rss), Peak(), time.process_time()
    with peak.watching():
        for stage in plan(spec):
            done[stage.key] = run_stage(
                bundle,
                spec,
                stage,
                portraits=portraits.__getitem__,
                artifacts=done.__getitem__,
                on_step=Log(stage.kind.value, phases, peak).on_step,
            )
    return phases, idle, time.process_time() - began


def page(size: int, steps: int, threads: int) -> str:
    """Measures, and tells it as a page of Markdown."""
    torch.set_num_threads(threads)
    settings = [f"{name}={steps}" for name in STEPS]
    phases, idle, seconds = measure(size, apply_settings(PRESETS["official"], settings))
    rows = [_row(name, phase) for name, phase in phases.items()]
    whole = sum(
        OFFICIAL_STEPS[name] * sum(phase.seconds) / len(phase.seconds)
        for name, phase in phases.items()
    )
    return "\n".join(
        [
            f"# The whole method at {size} pixels",
            "",
            f"Written by `make ffhq-sized`: {_machine(threads)}. One job with three portraits "
            f"(face, shape, colour), all of its stages, {steps} steps in each loop, on a bundle of "
            f"the official sizes (generator {size}, BiSeNet, VGG16) filled with the weights of the "
            "conformance vectors. The pictures are noise; times and memory are as with the trained "
            "networks.",
            "",
            "| stage | loop | CPU seconds per step | peak memory, GiB | loss, first to last step |",
            "| --- | --- | ---: | ---: | ---: |",
            *rows,
            "",
            f"The process holds {idle / GIB:.2f} GiB before the first stage (networks and torch). "
            f"The run took {seconds:.0f} s of CPU time: with one thread, the clock of an idle "
            "machine. At these times the official preset's steps are "
            f"{whole / 3600:.1f} hours of work.",
            "",
        ]
    )


def _row(name: str, phase: Phase) -> str:
    per_step = sum(phase.seconds) / len(phase.seconds)
    first, last = phase.losses[0], phase.losses[-1]
    peak = phase.peak / GIB
    return f"| {phase.stage} | {name} | {per_step:.1f} | {peak:.2f} | {first:.4g} to {last:.4g} |"


def _machine(threads: int) -> str:
    torch_version = torch.__version__.partition("+")[0]
    count = "one thread" if threads == 1 else f"{threads} threads"
    return f"{count} of {os.cpu_count()} CPUs ({platform.machine()}), torch {torch_version}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, choices=(256, 512, 1024))
    parser.add_argument("--steps", type=int, default=2, help="of every loop; at least 2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path, help="a file for the page; printed when left out")
    given = parser.parse_args()
    if given.steps < 2:
        parser.error("--steps must be at least 2: the first step of a loop is not timed")
    text = page(given.size, given.steps, given.threads)
    if given.write is None:
        print(text)
    else:
        given.write.write_text(text)


if __name__ == "__main__":
    main()

"""`make scaling`: docs/scaling.md and its pictures, from the measured figures and the simulation.

Every cost comes from `figures.json`, which the benchmarks write; what is assumed stands in
`ASSUMED`, and the page says so. Seeded: the same figures give the same page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from tests.benchmarks.page import figures
from tests.benchmarks.simulation import Costs, Outcome, Plant, Work, simulate

WORKERS = (1, 3, 10, 30, 100, 300, 1000)
BROKER = "RabbitMQ"
ROWS_OF_JOB, STAGES_OF_JOB = 3, 6  # outbox rows: the target, the chord, the blend
CHORD_STAGES = 4  # of a job's stages: reconstructions and alignments
MESSAGES_OF_JOB = 7  # its stages and its fan-in
EVENTS_OF_JOB = 20  # about: handed out, claimed and ended per stage, started and ended of the job
ASSUMED = {"cores": 8, "commit_s": 0.002, "deliver_s": 0.005}
GPU_STAGE_S = (60.0, 2.0)  # seconds of a stage on a GPU: assumptions, nobody has measured them
KINDS = ("target", "reconstruct", "align", "blend")


def _assumed(seconds: float) -> str:
    return f"{seconds:.0f} s a stage (assumed, for GPUs)"


HARDEST = _assumed(min(GPU_STAGE_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A way to set the system up."""

    name: str
    window_per_worker: float | None = None  # None: fixed, 8
    pause_s: float = 0.5
    dispatchers: int = 1
    cores: int = int(ASSUMED["cores"])
    broker_cores: int = 1
    heartbeat_every_s: float = 1.0
    relay_rows: int = 32

    def plant(self, workers: int) -> Plant:
        per_worker = self.window_per_worker
        window = 8 if per_worker is None else max(8, round(per_worker * workers))
        return Plant(
            workers=workers,
            window=max(window, 8 * self.dispatchers),
            pause_s=self.pause_s,
            relay_rows=self.relay_rows,
            cores=self.cores,
            broker_cores=self.broker_cores,
            dispatchers=self.dispatchers,
            heartbeat_every_s=self.heartbeat_every_s,
        )


SHIPPED = Setup(name="a fixed window of 8")
WINDOW = Setup(name="window 4 per worker (as shipped)", window_per_worker=4)
QUICK = replace(WINDOW, name="and a tick each 0.1 s", pause_s=0.1)
SHARDS = replace(QUICK, name="and 8 dispatchers", dispatchers=8)
BROKERS = replace(SHARDS, name="and 4 cores for RabbitMQ", broker_cores=4)
BEATS = replace(BROKERS, name="and progress each 5 s", heartbeat_every_s=5.0)
CORES = replace(BEATS, name="and 32 cores for Postgres", cores=32)
SETUPS = (SHIPPED, WINDOW, QUICK, SHARDS, BROKERS, BEATS, CORES)


def measured_costs(known: Mapping[str, Any]) -> Costs:
    """The costs of each step from CPU times, so that this machine's other work is not in them.

    What a tick costs whatever there is to do is in the dispatcher's share of each stage.
    """
    system, claims = known["system"][BROKER], known["claims"]
    stage_database_s = claims["database_cpu_s"]
    beat_s = claims["heartbeat_cpu_s"]
    ends_s = stage_database_s - beat_s
    cpu = system["cpu_s"]
    dispatch_database_s = max(0.0, cpu["Postgres"] - stage_database_s)
    return Costs(
        hand_out_s=dispatch_database_s,
        publish_s=cpu["dispatcher"] * STAGES_OF_JOB / ROWS_OF_JOB,
        broker_s=cpu["broker"] * STAGES_OF_JOB / MESSAGES_OF_JOB,
        deliver_s=ASSUMED["deliver_s"],
        claim_s=ends_s / 2,
        finish_s=ends_s / 2,
        worker_s=cpu["worker"],
        heartbeat_s=beat_s,
        fan_in_s=ends_s / 2,
        fan_in_wait_s=float(sum(system["offered_s"]) / len(system["offered_s"])),
        commit_s=ASSUMED["commit_s"],
    )


def works(known: Mapping[str, Any]) -> dict[str, Work]:
    """What a stage takes: as measured on a CPU, and as assumed on a GPU."""
    stage_s = {kind: float(known["stages"]["stage_s"][kind]) for kind in KINDS}
    found = {"the shipped bundle on a CPU (measured)": Work(stage_s=stage_s)}
    for seconds in GPU_STAGE_S:
        name = _assumed(seconds)
        found[name] = Work(stage_s=dict.fromkeys(KINDS, seconds))
    return found


Grid = Mapping[str, Mapping[str, Sequence[Outcome]]]  # by work, by setup, along WORKERS


def run_grid(known: Mapping[str, Any], *, stages: int = 800) -> Grid:
    """Every work with every setup at every number of workers; `stages` at least are simulated."""
    costs = measured_costs(known)
    return {
        name: {
            setup.name: [simulate(setup.plant(n), work, costs, stages=stages) for n in WORKERS]
            for setup in SETUPS
        }
        for name, work in works(known).items()
    }


def draw(grid: Grid, works: Mapping[str, Work], folder: Path) -> list[Path]:
    """Jobs per hour against workers, and what is used up; two pictures."""
    mpl.rcParams.update({"font.size": 8, "svg.hashsalt": "barbershop", "axes.grid": True})
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "scaling-jobs.svg", folder / "scaling-use.svg"]
    figure, panels = plt.subplots(1, len(grid), figsize=(11, 3.4), layout="constrained")
    for panel, (name, by_setup) in zip(panels, grid.items(), strict=True):
        ideal = [3600 * n / works[name].job_s for n in WORKERS]
        panel.loglog(WORKERS, ideal, color="0.7", linestyle="--", label="no overhead at all")
        for setup, outcomes in by_setup.items():
            panel.loglog(WORKERS, [o.jobs_per_hour for o in outcomes], marker=".", label=setup)
        panel.set(title=name, xlabel="workers", ylabel="jobs per hour")
    panels[0].legend(fontsize=6)
    figure.savefig(paths[0], metadata={"Date": None})
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.0), layout="constrained", sharey=True)
    hardest = grid[HARDEST]
    for panel, setup in zip(panels, (QUICK, SHARDS, CORES), strict=True):
        for part in ("workers", "dispatcher", "database", "broker"):
            shares = [getattr(o, part) for o in hardest[setup.name]]
            label = {"database": "Postgres", "workers": "workers, computing"}.get(part, part)
            panel.semilogx(WORKERS, shares, marker=".", label=label)
        panel.set(title=setup.name, xlabel="workers", ylabel="share of the time in use")
    panels[0].legend(fontsize=7)
    figure.savefig(paths[1], metadata={"Date": None})
    plt.close("all")
    return paths


def knee(outcomes: Sequence[Outcome]) -> int:
    """The most workers that still compute for at least 80 % of their time; 0 when none does."""
    return max((n for n, o in zip(WORKERS, outcomes, strict=True) if o.workers >= 0.8), default=0)


def saturation_rows(grid: Grid) -> list[tuple[object, ...]]:
    """Per work and setup: how many workers it feeds, and what ends it at a thousand."""
    return [
        (
            work,
            setup,
            knee(outcomes) or "none",
            f"{outcomes[-1].jobs_per_hour:,.0f}",
            f"{100 * outcomes[-1].workers:.0f} %",
            f"{100 * outcomes[-1].dispatcher:.0f} %",
            f"{100 * outcomes[-1].database:.0f} %",
            f"{100 * outcomes[-1].broker:.0f} %",
        )
        for work, by_setup in grid.items()
        for setup, outcomes in by_setup.items()
    ]


def capacity_rows(costs: Costs) -> list[tuple[object, ...]]:
    """What each part can do at most, by arithmetic, in stages per second."""
    rows_per_stage = ROWS_OF_JOB / STAGES_OF_JOB
    one_dispatcher = costs.hand_out_s + costs.publish_s * rows_per_stage
    database = costs.hand_out_s + costs.claim_s + costs.finish_s + costs.fan_in_s / STAGES_OF_JOB
    broker = costs.broker_s * MESSAGES_OF_JOB / STAGES_OF_JOB
    return [
        ("one dispatcher", f"{1000 * one_dispatcher:.1f}", f"{1 / one_dispatcher:.0f}"),
        ("one core of Postgres", f"{1000 * database:.1f}", f"{1 / database:.0f}"),
        ("one core of RabbitMQ", f"{1000 * broker:.1f}", f"{1 / broker:.0f}"),
        ("the relay, a tick each 0.5 s", "", f"{32 / 0.5 / rows_per_stage:.0f}"),
        ("the relay, a tick each 0.1 s", "", f"{32 / 0.1 / rows_per_stage:.0f}"),
    ]


def open_chords(setup: Setup) -> int:
    """How many at a thousand workers, at most: each has all its branches in the window."""
    return setup.plant(1000).window // CHORD_STAGES


def thousand(grid: Grid, setup: Setup) -> float:
    """Jobs per hour of the hardest work at a thousand workers."""
    return grid[HARDEST][setup.name][-1].jobs_per_hour


def main() -> int:
    """Simulates, draws, and writes the page from its words and the numbers."""
    from tests.benchmarks.scaling_page import words

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling")
    parser.add_argument("--write", type=Path, default=Path("docs/scaling.md"), metavar="PAGE")
    options = parser.parse_args()
    known = figures()
    missing = {"system", "claims", "polling", "tick", "stages", "validation"} - set(known)
    if missing or BROKER not in known["system"]:
        print(f"not measured yet: {', '.join(sorted(missing)) or BROKER}; run `make bench` first")
        return 2
    grid = run_grid(known)
    draw(grid, works(known), options.write.parent / "pictures")
    options.write.write_text(words(known, measured_costs(known), grid))
    return 0


if __name__ == "__main__":
    sys.exit(main())

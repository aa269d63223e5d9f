"""`barber demo`: eight jobs from a table to a contact sheet, through the whole system."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from barber.catalogue import jobs
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.jobs import JobView
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.evaluation.metrics import psnr, ssim
from barber.manifest import Manifest, find_bundle, read_manifest
from barber.pixels import Pixels, decode, encode_png
from barber.plan import StageKind
from barber.standalone import cast
from barber.standalone.home import Home
from barber.standalone.preflight import bundle_preflight
from barber.standalone.sheet import SheetRow, draw_sheet
from barber.standalone.submission import Submission, submit_table
from barber.standalone.supervisor import Supervisor, UpOptions
from barber.standalone.watch import follow
from barber.table import TableSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One finished job beside the truth."""

    job: cast.DemoJob
    view: JobView
    mask: Pixels
    result: Pixels
    truth: Pixels
    psnr: float  # dB, result to truth
    ssim: float
    before: float  # dB, the untouched identity to truth

    @property
    def seconds(self) -> float:
        """Work of this job's own stages; what it shares with an earlier job is that one's."""
        return sum(stage.seconds or 0 for stage in self.view.stages if not stage.reused)


def run_demo(
    options: UpOptions,
    *,
    out: Path,
    keep: bool,
    fresh: bool,
    environ: Mapping[str, str],
    parse: bool = True,
) -> int:
    """Runs the demo; the exit code is 0 when every accepted job succeeded.

    Args:
        options: How to start the system.
        out: Portraits, table, results and contact sheet go here.
        keep: Leave the system running at the end, until somebody stops it.
        fresh: Empty the home first, so that every stage is seen to run.
        environ: The process environment.
        parse: Whether pre-flight asks the bundle's face parser; one that was not trained on drawn
            faces would refuse them.

    Raises:
        SettingsError: The system cannot start, or does not stay up.
        KeyboardInterrupt: Somebody stopped it before the end.
    """
    console = Console() if Console().is_terminal else Console(width=120)
    began = time.monotonic()
    if fresh:
        Home(options.home).clear()
    with Supervisor(options, environ=environ, say=console.print) as supervisor:
        say_where(console, supervisor)
        demo = _Demo(supervisor, console, out, parse=parse)
        code = demo.run()
        console.print(f"{time.monotonic() - began:.0f} seconds in all")
        if keep and not supervisor.stopping:
            console.print(f"The system stays up at {supervisor.console} until Ctrl-C.")
            supervisor.run()
    return code


def say_where(console: Console, supervisor: Supervisor) -> None:
    """Prints the address that opens the console, once."""
    console.print(
        f"Watch it in a browser: {supervisor.entrance()}", highlight=False, soft_wrap=True
    )


class _Demo:
    """One run on a system that is up."""

    def __init__(self, supervisor: Supervisor, console: Console, out: Path, *, parse: bool) -> None:
        self._supervisor = supervisor
        self._parse = parse
        self._console = console
        self._out = out
        settings = supervisor.settings
        self._bundle = find_bundle(settings.bundle, settings.bundles_dir)
        self._manifest: Manifest = read_manifest(self._bundle)
        self._store = Store(supervisor.settings.store_dir)

    @property
    def _size(self) -> int:
        return self._manifest.geometry.image_size

    def run(self) -> int:
        engine = open_engine(self._supervisor.settings, application="demo")
        try:
            submission = self._submit(engine)
            footer = f"{self._supervisor.console}batches/{submission.batch_id}"
            batch = follow(
                engine,
                submission.batch_id,
                console=self._console,
                footer=footer,
                tend=self._tend,
            )
            views = self._views(engine, submission.batch_id)
        finally:
            engine.dispose()
        outcomes = [self._outcome(view) for view in views if view.row.result_file]
        self._write(outcomes, submission)
        self._tell(outcomes, views)
        return 0 if batch.counts[JobStatus.SUCCEEDED] == len(cast.JOBS) - 1 else 1

    def _tend(self) -> None:
        self._supervisor.tend()
        if self._supervisor.stopping:
            raise KeyboardInterrupt

    def _submit(self, engine: Engine) -> Submission:
        table = cast.write_demo(self._out, self._size)
        submission = submit_table(
            engine,
            self._store,
            table,
            TableSettings.for_bundle(self._manifest),
            self._supervisor.settings,
            preflight=bundle_preflight(
                self._bundle,
                self._manifest,
                home=self._supervisor.settings.home,
                parse=self._parse,
            ),
            accept_valid=True,
            again=True,
            submitted_by="demo",
        )
        self._console.print(
            f"{table}: {submission.accepted} jobs queued", highlight=False, soft_wrap=True
        )
        for error in submission.refused:
            refusal = Text(f"refused {error}", style="yellow")
            self._console.print(refusal, soft_wrap=True)
        return submission

    def _views(self, engine: Engine, batch_id: int) -> list[JobView]:
        with transaction(engine) as session:
            rows = jobs.jobs(session, batch_id=batch_id, limit=len(cast.JOBS))
            return [jobs.job(session, row.id) for row in reversed(rows)]

    def _outcome(self, view: JobView) -> Outcome:
        job = next(job for job in cast.JOBS if job.name == view.row.name)
        assert view.row.result_file is not None
        result = decode(self._store.get(view.row.result_file), name=job.name)
        target = next(s for s in view.stages if s.kind == StageKind.TARGET and s.slot == 0)
        mask = decode(self._store.get(target.files["mask.png"].sha256), name="target mask")
        truth = job.truth(self._size)
        return Outcome(
            job=job,
            view=view,
            mask=mask,
            result=result,
            truth=truth,
            psnr=psnr(result, truth),
            ssim=ssim(result, truth),
            before=psnr(cast.portrait(job.identity, self._size), truth),
        )

    def _write(self, outcomes: list[Outcome], submission: Submission) -> None:
        results = self._out / "results"
        results.mkdir(exist_ok=True)
        for outcome in outcomes:
            file = outcome.view.row.result_file
            assert file is not None
            (results / f"{outcome.job.name}.png").write_bytes(self._store.get(file))
        done = {outcome.job.name: outcome for outcome in outcomes}
        refused = {error.name: error.reason for error in submission.refused}
        rows = [self._sheet_row(job, done.get(job.name), refused) for job in cast.JOBS]
        sheet = draw_sheet(f"Barbershop: {self._manifest.name}", rows)
        (self._out / "contact-sheet.png").write_bytes(encode_png(sheet))

    def _sheet_row(
        self, job: cast.DemoJob, outcome: Outcome | None, refused: Mapping[str, str]
    ) -> SheetRow:
        inputs = [
            (f"{what}: {who}", None if who == cast.BROKEN else cast.portrait(who, self._size))
            for what, who in job.inputs()
        ]
        if outcome is None:
            reason = refused.get(job.name, "the job failed, see the console")
            return SheetRow(title=job.name, inputs=inputs, refusal=reason)
        return SheetRow(
            title=job.name,
            inputs=inputs,
            results=[
                ("target mask", outcome.mask),
                ("result", outcome.result),
                ("true composite", outcome.truth),
            ],
            figures=[
                f"PSNR {outcome.psnr:.1f} dB",
                f"SSIM {outcome.ssim:.3f}",
                f"untouched {outcome.before:.1f} dB",
                f"{outcome.seconds:.0f} s of work",
            ],
        )

    def _tell(self, outcomes: list[Outcome], views: list[JobView]) -> None:
        self._console.print(_figures(outcomes))
        self._console.print(_costs(views))
        self._console.print(
            f"results in {self._out / 'results'}, contact sheet {self._out / 'contact-sheet.png'}",
            highlight=False,
            soft_wrap=True,
        )


def _figures(outcomes: list[Outcome]) -> Table:
    table = Table(title="Results beside the true composites", title_justify="left")
    table.add_column("job")
    for heading in ("PSNR dB", "SSIM", "untouched dB", "seconds of work"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        table.add_row(
            outcome.job.name,
            f"{outcome.psnr:.2f}",
            f"{outcome.ssim:.4f}",
            f"{outcome.before:.2f}",
            f"{outcome.seconds:.1f}",
        )
    return table


def _costs(views: list[JobView]) -> Table:
    """What each kind of stage cost, and how many were spared because another job had done them."""
    ran: dict[str, list[float]] = defaultdict(list)
    reused: dict[str, int] = defaultdict(int)
    for stage in (stage for view in views for stage in view.stages):
        if stage.reused:
            reused[stage.kind] += 1
        elif stage.seconds is not None:
            ran[stage.kind].append(stage.seconds)
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    for heading in ("run", "reused", "seconds each", "seconds in all"):
        table.add_column(heading, justify="right")
    for kind in StageKind:
        seconds = ran[kind]
        mean = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
        table.add_row(kind, str(len(seconds)), str(reused[kind]), mean, f"{sum(seconds):.1f}")
    return table

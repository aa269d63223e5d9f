"""A batch's progress in the terminal: bars for jobs and running stages, or lines without a tty."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from barber.catalogue import activity, jobs
from barber.catalogue.activity import RunningStage
from barber.catalogue.db import transaction
from barber.catalogue.jobs import BatchRow, JobRow
from barber.catalogue.status import JobStatus

EVERY_S = 0.4
SHOWN_JOBS = 24  # of a larger batch only those that run are shown
COLOURS = {
    JobStatus.QUEUED: "dim",
    JobStatus.RUNNING: "cyan",
    JobStatus.SUCCEEDED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
}


def follow(
    engine: Engine,
    batch_id: int,
    *,
    console: Console,
    footer: str = "",
    tend: Callable[[], None] = lambda: None,
) -> BatchRow:
    """Shows a batch until all its jobs are final.

    Args:
        engine: The catalogue.
        batch_id: What to show.
        console: Where to; bars when it is a terminal, lines of what changed when not.
        footer: A line below the bars.
        tend: Called at every turn; what it raises ends the watching.

    Returns:
        The batch as it is at the end.

    Raises:
        NotFound: There is no such batch.
    """
    lines = _Lines(console)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            tend()
            batch, rows, running = _look(engine, batch_id)
            if console.is_terminal:
                live.update(_bars(batch, rows, running, footer), refresh=True)
            else:
                lines.tell(rows, running)
            if batch.finished:
                return batch
            time.sleep(EVERY_S)


def _look(engine: Engine, batch_id: int) -> tuple[BatchRow, list[JobRow], list[RunningStage]]:
    with transaction(engine) as session:
        batch = jobs.batch(session, batch_id)
        wanted = None if batch.total <= SHOWN_JOBS else JobStatus.RUNNING
        rows = jobs.jobs(session, batch_id=batch_id, status=wanted, limit=SHOWN_JOBS)[::-1]
        ours = {row.id for row in rows}
        running = [stage for stage in activity.running(session) if stage.job_id in ours]
    return batch, rows, running


def _bars(
    batch: BatchRow, rows: Sequence[JobRow], running: Sequence[RunningStage], footer: str
) -> Group:
    done = sum(count for status, count in batch.counts.items() if JobStatus(status).final)
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(f"batch {batch.id}", style="bold"),
        ProgressBar(total=1.0, completed=batch.progress, width=40),
        f"{done} of {batch.total} jobs",
    )
    return Group(head, _job_bars(rows), _stage_bars(running), Text(footer, style="dim"))


def _job_bars(rows: Sequence[JobRow]) -> Table:
    table = Table.grid(padding=(0, 1))
    for row in rows:
        style = COLOURS[row.status]
        bar = ProgressBar(total=1.0, completed=row.progress, width=28)
        name, error = Text(f"  {row.name}"), Text(row.error or "")  # no markup in them counts
        table.add_row(name, bar, Text(row.status, style=style), error)
    return table


def _stage_bars(running: Sequence[RunningStage]) -> Table:
    table = Table.grid(padding=(0, 1))
    for stage in running:
        bar = ProgressBar(total=1.0, completed=stage.progress, width=28)
        table.add_row(f"    {stage.worker}", bar, Text(f"{stage.kind} of {stage.job_name}"))
    return table


class _Lines:
    """Tells what changed since it was last asked, a line each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._statuses: dict[int, JobStatus] = {}
        self._stages: set[int] = set()

    def tell(self, rows: Sequence[JobRow], running: Sequence[RunningStage]) -> None:
        for stage in running:
            if stage.stage_id not in self._stages:
                self._stages.add(stage.stage_id)
                self._say(f"{stage.worker}: {stage.kind} of {stage.job_name}")
        for row in rows:
            if self._statuses.get(row.id, JobStatus.QUEUED) is not row.status:
                error = f": {row.error}" if row.error else ""
                self._say(f"{row.name} {row.status}{error}")
            self._statuses[row.id] = row.status

    def _say(self, line: str) -> None:
        seconds = time.monotonic() - self._began
        self._console.print(f"{seconds:6.1f} s  {line}", highlight=False, markup=False)

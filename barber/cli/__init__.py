"""The `barber` command: one verb per thing a person does.

Every failure is one sentence on standard error and an exit code: 1 for what was refused or went
wrong, 2 for a command that was not understood, 130 for Ctrl-C. Torch is loaded by
`compose`, `replay`, `measure`, `evaluate`, `bundle add` and `bundle verify` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from barber.cli.bulk_verbs import bulk
from barber.cli.bundle_verbs import bundle
from barber.cli.chaos_verb import chaos
from barber.cli.check_verb import check
from barber.cli.evaluate_verb import evaluate
from barber.cli.failures import explain
from barber.cli.matrix_verb import matrix_verb
from barber.cli.measure_verb import measure
from barber.cli.modes_verb import modes
from barber.cli.operator_verbs import cancel, deadline, delete, pause, priority, resume, retry
from barber.cli.people_verbs import token, user
from barber.cli.photograph_verbs import align
from barber.cli.queue_verbs import jobs, show, submit, watch
from barber.cli.remote_verbs import download, login, logout
from barber.cli.result_verbs import replay, result
from barber.cli.review_verbs import accept, clone, reject, undecide, undo
from barber.cli.stand_verbs import batches, overview
from barber.cli.studio_verbs import compose, faces
from barber.cli.system_verbs import demo, up
from barber.cli.upkeep_verbs import dead, gc
from barber.cli.webhook_verbs import webhook
from barber.cli.worker_verbs import worker, workers


class InOrder(click.Group):
    """Lists its verbs in the order of a person's day, not of the alphabet."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        """Runs a verb; click itself would write an empty line for Ctrl-C."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise click.Abort from None


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="barbershop", prog_name="barber")
def barber() -> None:
    """Hairstyle and face compositing, one portrait or ten thousand."""


QUEUE = (
    *(check, submit, matrix_verb, overview, batches, jobs, show, watch, result, download),
    *(
        accept,
        reject,
        undecide,
        undo,
        clone,
        retry,
        cancel,
        pause,
        resume,
        priority,
        deadline,
        delete,
        bulk,
        dead,
        measure,
        gc,
    ),
)
WORKERS = (worker, workers)

STUDIO = (compose, replay, align, modes, evaluate, faces, bundle, chaos)

for verb in (up, demo, *QUEUE, *WORKERS, user, token, webhook, login, logout, *STUDIO):
    barber.add_command(verb)


def run(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Runs one command; returns its exit code.

    Args:
        arguments: Without the program's name.
        environ: Where settings are read from.
        ready: Called where Ctrl-C may raise: everything after that tells of it in one line.
    """
    as_json = "--json" in arguments
    try:
        ready()
        code = barber.main(
            args=list(arguments), prog_name="barber", standalone_mode=False, obj=environ
        )
    except BaseException as error:
        failure = explain(error)
        if failure is None:
            raise
        failure.show(as_json=as_json)
        return failure.exit_code
    return code if isinstance(code, int) else 0

"""`evaluate`: the paper's experiments through the queue, as a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console

from barber.cli.method_options import noise_option, settings_option
from barber.cli.system_verbs import bundle_option, device_option, port_option, workers_option
from barber.errors import InputError
from barber.spec import NoiseMode
from barber.table import MAX_SEED

IMAGES, PAIRS = 120, 198  # as in the paper

count = click.IntRange(0, 100_000)


@click.command()
@click.option(
    "--pairs", type=count, help=f"A with the hair of B.  [default: {PAIRS}, or 0 with --triples]"
)
@click.option(
    "--triples", type=count, default=0, show_default=True, help="The same in the colour of C."
)
@click.option(
    "--images", type=count, default=IMAGES, show_default=True, help="Drawn people to choose from."
)
@click.option(
    "--pairs-file",
    type=click.Path(path_type=Path),
    help="Your own pictures instead: CSV or JSON lines with identity, hair, perhaps colour.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="Only this beside the full method; repeatable.  [default: all]",
)
@click.option("--preset", help="Steps and weights: official, paper, or one of the bundle's.")
@settings_option
@noise_option
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    show_default=True,
    help="Of the people, of who meets whom, and of the noise.",
)
@click.option(
    "--inception",
    type=click.Path(path_type=Path),
    help="The published network of FID (pt_inception-2015-12-05-6726825d.pth).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("evaluation-out"),
    show_default=True,
    help="The report, its figures and the numbers.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Of a system that runs, or where to start one.  [default: OUT/home]",
)
@click.option("--json", "as_json", is_flag=True, help="Tell where the report is as JSON.")
@port_option
@workers_option
@bundle_option
@device_option
@click.pass_context
def evaluate(
    context: click.Context,
    pairs: int | None,
    triples: int,
    images: int,
    pairs_file: Path | None,
    methods: tuple[str, ...],
    preset: str | None,
    settings: tuple[str, ...],
    noise: NoiseMode,
    seed: int,
    inception: Path | None,
    out: Path,
    home: Path | None,
    as_json: bool,
    port: int | None,
    workers: int | None,
    bundle: str | None,
    device: str | None,
) -> int:
    """Measure the method, its ablations and cut-and-paste; stopped, the same command goes on."""
    from barber.evaluation.cases import Counts
    from barber.evaluation.run import EvaluationOptions  # loads torch
    from barber.evaluation.run import evaluate as run
    from barber.standalone.supervisor import UpOptions

    environ: Mapping[str, str] = context.obj
    if pairs_file is not None:
        _refuse_with_pairs_file(context, "pairs", "triples", "images")
    if pairs is None:
        pairs = 0 if triples else PAIRS
    options = EvaluationOptions(
        out=out,
        counts=Counts(images=images, pairs=pairs, triples=triples),
        pairs_file=pairs_file,
        methods=methods,
        preset=preset,
        settings=settings,
        noise=noise,
        seed=seed,
        inception=inception,
        up=UpOptions(
            home=home or out / "home", port=port, workers=workers, bundle=bundle, device=device
        ),
    )
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=120)
    facts = run(options, environ, console)
    click.echo(json.dumps(facts) if as_json else f"report {facts['report']}")
    return 1 if facts["failed"] else 0


def _refuse_with_pairs_file(context: click.Context, *names: str) -> None:
    """Raises InputError when options were given that a table of one's own leaves no use for."""
    given = [n for n in names if context.get_parameter_source(n) is not ParameterSource.DEFAULT]
    if given:
        raise InputError(
            f"--{given[0]} draws people, --pairs-file brings your own: give one of the two "
            "(the table says which pictures meet)"
        )

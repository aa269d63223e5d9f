"""The options that say how the method runs, the same at every verb that starts a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from barber.spec import NoiseMode, parse_settings

Verb = Callable[..., Any]


def _parsed(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> Any:
    """Refuses at once what is no setting; names and values meet the params later."""
    parse_settings(texts)
    return texts


def settings_option(verb: Verb) -> Verb:
    """`--set STAGE.NAME=VALUE`, repeatable, as `settings`."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="STAGE.NAME=VALUE",
        callback=_parsed,
        help="One of the method's parameters by hand, for example reconstruct.w_plus_steps=300; "
        "repeatable. Everything else comes from the preset.",
    )(verb)


def noise_option(verb: Verb) -> Verb:
    """`--noise`, as a `NoiseMode`."""
    return click.option(
        "--noise",
        type=click.Choice([mode.value for mode in NoiseMode]),
        default=NoiseMode.FRESH.value,
        show_default=True,
        callback=lambda _context, _option, value: NoiseMode(value),
        help="Drawn anew in every pass (seeded), the checkpoint's own planes, or none.",
    )(verb)

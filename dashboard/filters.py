"""How templates write times, durations, numbers and statuses."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from markupsafe import Markup

# A glyph beside the colour: a status must be told apart without seeing colours.
GLYPHS: dict[str, str] = {
    "queued": "○",
    "pending": "○",
    "dispatched": "◔",
    "running": "◑",
    "succeeded": "✓",
    "failed": "✕",
    "cancelled": "–",
    "paused": "‖",
    "filling": "◔",
    "ready": "○",
    "busy": "◑",
    "draining": "◔",
    "stopped": "–",
    "lost": "✕",
    "waiting": "○",
    "done": "✓",
}

HINTS: dict[str, str] = {
    "queued": "waits for the dispatcher",
    "pending": "waits for what it needs",
    "dispatched": "handed to the broker, waits for a worker",
    "running": "a worker is on it",
    "succeeded": "done",
    "failed": "ended with an error; retry runs what is missing",
    "cancelled": "stopped on request",
    "paused": "nothing new is handed out until it is resumed",
    "filling": "its jobs are being queued; none is handed out before the last one",
    "ready": "waits for work",
    "busy": "works on a stage",
    "draining": "was told to stop: takes nothing new, finishes or hands back",
    "stopped": "ended in good order",
    "lost": "fell silent; what it held comes back by itself",
    "waiting": "waits for the dispatcher",
    "done": "every job was looked at",
}


NBSP = "\N{NO-BREAK SPACE}"  # between a number and its unit


def badge(status: str) -> Markup:
    """A status as a labelled pill; every status of jobs, stages and workers has one."""
    return Markup(
        '<span class="badge s-{0}" title="{2}"><span class="glyph" aria-hidden="true">{1}</span>'
        "{0}</span>"
    ).format(status, GLYPHS[status], HINTS[status])


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 0.8 s, 12 s, 3 min 05 s, 2 h 04 min."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}{NBSP}h {minutes:02d}{NBSP}min"
    return f"{hours // 24}{NBSP}days"


def away(moment: datetime, now: datetime) -> str:
    """How far a moment is from now: in 2 h 04 min, 12 s ago."""
    seconds = (moment - now).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def commands(sentence: str) -> Markup:
    """A sentence whose commands stand between backticks, with these set as code."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def gib(count: float) -> str:
    """Bytes in GiB."""
    return f"{count / 2**30:.1f}{NBSP}GiB"


def clock(moment: datetime | None) -> Markup:
    """A time in UTC with its date beside it for machines and for the pointer."""
    if moment is None:
        return Markup("–")
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        utc.isoformat(timespec="seconds"), f"{utc:%Y-%m-%d %H:%M:%S}", f"{utc:%d %b %H:%M:%S}"
    )


def by_when(moment: datetime, now: datetime) -> Markup:
    """When something will be done, as people say it: 04:10, tomorrow 04:10, Wed 25 Nov 04:10."""
    utc, today = moment.astimezone(UTC), now.astimezone(UTC).date()
    days = (utc.date() - today).days
    day = "" if days == 0 else "tomorrow " if days == 1 else f"{utc:%a %d %b} "
    return Markup('<time datetime="{}">{}{}{}UTC</time>').format(
        utc.isoformat(timespec="minutes"), day, f"{utc:%H:%M}", NBSP
    )


def percent(fraction: float | None) -> str:
    """A fraction 0..1 as whole per cent; never 100 % before the end."""
    part = fraction or 0.0
    return f"{100 if part >= 1 else min(int(part * 100), 99)}{NBSP}%"


def loss(value: float) -> str:
    """A loss with three significant digits."""
    return f"{value:.3g}"


def pretty(data: Any) -> str:
    """JSON for people."""
    return json.dumps(data, indent=2, sort_keys=True, default=str)


def short(key: str) -> str:
    """The head of a digest, enough to tell it apart on a page."""
    return key[:10]


def counted(number: int, noun: str) -> str:
    """1 job, 2 jobs, 1 batch, 2 batches."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('ch', 's', 'x')) else 's'}"


def register(app: Flask) -> None:
    """Makes the filters known to the templates, and `asset` for cache-proof static addresses."""
    for rule in (
        badge,
        duration,
        away,
        by_when,
        commands,
        gib,
        clock,
        percent,
        loss,
        pretty,
        short,
        counted,
    ):
        app.jinja_env.filters[rule.__name__] = rule
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    root = Path(app.static_folder or "")
    marks = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        for path in root.iterdir()
        if path.is_file()
    }

    def asset(name: str) -> str:
        return app.url_for("static", filename=name, v=marks[name])

    app.jinja_env.globals["asset"] = asset

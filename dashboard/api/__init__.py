"""REST under /api/v1: everything that the pages do, for programs. See `endpoint` for its form."""

from __future__ import annotations

from dashboard.api import (
    attention,
    bulk,
    changing,
    everybody,
    importing,
    masks,
    one_job,
    overview,
    people,
    pictures,
    reading,
    results,
    reviewing,
    studies,
    submitting,
    webhooks,
)
from dashboard.api.endpoint import blueprint, spec

__all__ = [
    "attention",
    "blueprint",
    "bulk",
    "changing",
    "everybody",
    "importing",
    "masks",
    "one_job",
    "overview",
    "people",
    "pictures",
    "reading",
    "results",
    "reviewing",
    "spec",
    "studies",
    "submitting",
    "webhooks",
]

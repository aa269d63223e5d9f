"""Pre-flight with a bundle's own parser; torch is loaded when a portrait is first parsed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from barber.manifest import Manifest
from barber.pixels import Pixels
from barber.preflight.findings import Check
from barber.preflight.measures import LabelMap, MeasureCache
from barber.table_checks import OnProgress, Preflight

if TYPE_CHECKING:
    from barber.models.parsing import PortraitParser

CACHE_DIR = "preflight"  # in a home


class LazyParser:
    """Portraits to label maps by a bundle's parser, on the CPU.

    Args:
        bundle: The bundle's folder.
    """

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._parser: PortraitParser | None = None

    def __call__(self, portraits: Sequence[Pixels]) -> list[LabelMap]:
        """Raises CheckpointError when the bundle's parser cannot be loaded."""
        if self._parser is None:
            from barber.models.parsing import PortraitParser

            self._parser = PortraitParser(self._bundle)
        return self._parser(portraits)


def bundle_preflight(
    bundle: Path,
    manifest: Manifest,
    *,
    home: Path,
    allow: frozenset[Check] = frozenset(),
    parse: bool = True,
    on_progress: OnProgress | None = None,
) -> Preflight:
    """How jobs of a bundle are checked.

    Args:
        bundle: Its folder.
        manifest: Its manifest.
        home: Measures are kept below it; nothing is kept when there is no such directory.
        allow: Checks whose refusals are warnings.
        parse: Whether portraits that were not measured yet go through the parser.
        on_progress: Told of portraits as they are measured.
    """
    return Preflight(
        geometry=manifest.geometry,
        parse=LazyParser(bundle) if parse else None,
        cache=MeasureCache(home / CACHE_DIR, manifest.digest) if home.is_dir() else None,
        allow=allow,
        on_progress=on_progress,
    )

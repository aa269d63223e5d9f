"""How long an import of 10,000 rows takes to be checked and queued, and how long others wait.

Every face with every style, as the console makes it. Meanwhile a neighbour submits a job over the
same portraits again and again: its artifacts are partly those that the import is writing.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from barber.catalogue import intakes, jobs, people
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.intake_tables import IntakeStatus
from barber.catalogue.jobs import NewJob
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.looks import Slot, find_look
from barber.manifest import read_manifest
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey, default_preset, preset_params
from barber.standalone.choice import Choice
from barber.standalone.intake import Reader
from tests.benchmarks.page import Section, table
from tests.benchmarks.server import catalogue
from tests.support.builders import register_portraits
from tests.support.system import write_tiny_bundle

FACES = STYLES = 100
SIDE = 64
PAUSE_S = 0.05
LOOK = find_look("hair")


def measure() -> Section:
    """Checks and queues one import of 10,000 rows beside a neighbour."""
    with tempfile.TemporaryDirectory(prefix="barber-import-") as folder, catalogue() as (found, _):
        settings = replace(found, home=Path(folder))
        write_tiny_bundle(Path(folder) / "tiny")
        settings = replace(settings, bundle=str(Path(folder) / "tiny"))
        engine = open_engine(settings, application="import")
        keys = register_portraits(engine, Store(settings.store_dir), FACES + STYLES)
        section = _measured(engine, settings, keys)
        engine.dispose()
    return section


def _measured(engine: Engine, settings: Settings, keys: Sequence[PortraitKey]) -> Section:
    choice = Choice(
        faces=tuple(keys[:FACES]), look=LOOK.word, picked={Slot.HAIR: tuple(keys[FACES:])}
    )
    with transaction(engine) as session:
        person = people.add(session, "olga", Role.OPERATOR, by="bench")
        number = intakes.begin(session, person.id, "night", choice.to_json())
    reader = Reader(engine=engine, store=Store(settings.store_dir), settings=settings)
    phases: dict[str, tuple[float, Neighbour]] = {}
    for phase in ("checked", "queued"):
        if phase == "queued":
            how = {"by": "olga", "via": "console"}
            with transaction(engine) as session:
                intakes.order(session, number, how)
        neighbour = Neighbour(engine, settings, keys)
        neighbour.start()
        began = time.monotonic()
        reader.go_on(number)
        seconds = time.monotonic() - began
        phases[phase] = seconds, neighbour.stop()
    with transaction(engine) as session:
        end = intakes.find(session, number)
    assert end.status is IntakeStatus.QUEUED and end.sound == FACES * STYLES, end
    return _section(phases)


class Neighbour(threading.Thread):
    """Somebody who submits one job after the other; `waits` says how long each took."""

    def __init__(self, engine: Engine, settings: Settings, keys: Sequence[PortraitKey]) -> None:
        super().__init__(daemon=True)
        self._engine, self._keys, self._over = engine, keys, threading.Event()
        self._manifest = read_manifest(Path(settings.bundle))
        self._dice = random.Random(3)
        self.waits: list[float] = []
        self.refused = 0

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                with transaction(self._engine) as session:
                    jobs.submit(session, name="small", jobs=[self._job()], bundle_name="tiny")
            except OperationalError:  # it waited for longer than the catalogue lets anybody wait
                self.refused += 1
            self.waits.append(time.monotonic() - began)
            self._over.wait(PAUSE_S)

    def stop(self) -> Neighbour:
        self._over.set()
        self.join()
        return self

    def _job(self) -> NewJob:
        face, style = self._dice.choice(self._keys[:FACES]), self._dice.choice(self._keys[FACES:])
        presets = self._manifest.presets
        spec = JobSpec(
            identity=face,
            regions=LOOK.regions(face, {Slot.HAIR: style}),
            bundle=self._manifest.digest,
            params=preset_params(default_preset(presets), presets),
        )
        return NewJob(name="one", spec=spec)


def _section(phases: dict[str, tuple[float, Neighbour]]) -> Section:
    rows = FACES * STYLES
    lines = [
        (
            phase,
            f"{seconds:.1f}",
            f"{rows / seconds:.0f}",
            f"{statistics.median(beside.waits):.2f}",
            f"{max(beside.waits):.2f}",
            str(beside.refused),
        )
        for phase, (seconds, beside) in phases.items()
    ]
    head = ("10,000 rows are", "s", "rows/s", "neighbour's median, s", "longest, s", "refused")
    body = f"""
{FACES} faces with {STYLES} styles each; portraits are in the store already, nothing parses them.
Beside it a neighbour submits single jobs over the same portraits, {PAUSE_S:g} s apart; one that
meets the lock timeout is refused.

{table(head, lines)}
"""
    figures = {f"{phase}_rows_per_s": rows / seconds for phase, (seconds, _) in phases.items()}
    return Section(name="import", title="An import of 10,000 rows", text=body, figures=figures)

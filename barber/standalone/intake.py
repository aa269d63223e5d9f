"""Reads imports: checks their rows some at a time, keeps what it finds, queues them when told to.

Memory and transactions stay small whatever the number of rows: pictures go into the store as
they are read. An import whose reader died is read again from its start by the next.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from barber.catalogue import drawer, intakes, jobs, portraits
from barber.catalogue.audit import Actor
from barber.catalogue.db import transaction
from barber.catalogue.intake_tables import IntakeStatus
from barber.catalogue.intakes import Filled, IntakeFacts
from barber.catalogue.jobs import AlreadySubmitted, NewJob
from barber.catalogue.people_tables import Via
from barber.catalogue.store import Store
from barber.errors import CheckpointError, InputError, StoreError
from barber.manifest import Manifest, find_bundle, landmarks_file, read_manifest
from barber.photographs.picture import Picture
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Check
from barber.preflight.measures import MeasureCache
from barber.settings import Settings
from barber.spec import JobSpec, NoiseMode, PortraitKey
from barber.standalone.choice import Choice, choice_rows
from barber.table import PlannedRow, RowError, TableReader, TableSettings
from barber.table_checks import Preflight, RowChecker, noteworthy
from barber.table_files import open_table

CHUNK = 50  # rows of one transaction
QUEUE_CHUNK = 200  # jobs of one transaction when they are queued
READ_CHUNK = 1000  # rows read at once
MEASURES = "preflight"  # the folder of measures in a home
FOLDER = "intakes"  # the folder of what was sent, until it is checked


def folder_of(settings: Settings, intake_id: int) -> Path:
    """Where the files of an import lie until it is checked."""
    return settings.home / FOLDER / str(intake_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that are queued in one transaction."""

    jobs: list[NewJob]
    last: int  # the place of the last of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads imports."""

    engine: Engine
    store: Store
    settings: Settings

    def go_on(self, intake_id: int) -> None:
        """Does what there is to do with an import, unless somebody else is at it."""
        with intakes.reading(self.engine, intake_id) as alone:
            if not alone:
                return
            with transaction(self.engine) as session:
                found = intakes.find(session, intake_id)
            if found.status is IntakeStatus.CHECKING:
                self._check(found)
            elif found.status is IntakeStatus.QUEUEING:
                self._queue(found)

    def _check(self, found: IntakeFacts) -> None:
        with transaction(self.engine) as session:
            intakes.start_over(session, found.id)
        try:
            digest = self._check_rows(found)
        except (InputError, CheckpointError, StoreError) as error:
            reason = str(error).replace(f"{folder_of(self.settings, found.id)}/", "")
            with transaction(self.engine) as session:
                intakes.break_off(session, found.id, reason)
        else:
            with transaction(self.engine) as session:
                intakes.end_check(session, found.id, digest)
        shutil.rmtree(folder_of(self.settings, found.id), ignore_errors=True)

    def _check_rows(self, found: IntakeFacts) -> str:
        bundle = find_bundle(self.settings.bundle, self.settings.bundles_dir)
        manifest = read_manifest(bundle)
        checker = RowChecker(self._preflight(manifest, found.asked.get("allow", ())))
        digest, place = intakes.Digest(), 1
        with self._source(found, bundle, manifest) as (rows, pictures):
            while chunk := list(islice(rows, CHUNK)):
                checked = self._check_chunk(found, chunk, pictures, checker)
                for row in checked:
                    if isinstance(row, PlannedRow):
                        digest.add(row)
                with transaction(self.engine) as session:
                    intakes.add_rows(session, found.id, place, checked)
                place += len(checked)
        if place == 1:
            raise InputError("there is no row: give at least one")
        return digest.hex()

    def _check_chunk(
        self,
        found: IntakeFacts,
        chunk: list[PlannedRow | RowError],
        pictures: dict[PortraitKey, Picture],
        checker: RowChecker,
    ) -> list[PlannedRow | RowError]:
        """The rows with what pre-flight says; what they name is kept in the store."""
        planned = [row for row in chunk if isinstance(row, PlannedRow)]
        wanted = {key for row in planned for key in row.spec.portraits}
        with transaction(self.engine) as session:
            for picture in pictures.values():
                portraits.keep(session, self.store, picture)
            drawer.put(session, found.person_id, {p.key: p.name for p in pictures.values()})
            rest = portraits.pictures(session, self.store, wanted - set(pictures))
        sound, refused = checker.check(planned, {**rest, **pictures})
        pictures.clear()
        slim = [replace(row, findings=noteworthy(row.findings)) for row in sound]
        noted: dict[int, PlannedRow | RowError] = {row.line: row for row in refused}
        noted |= {row.line: row for row in slim}
        return [noted.get(row.line, row) for row in chunk]

    @contextmanager
    def _source(
        self, found: IntakeFacts, bundle: Path, manifest: Manifest
    ) -> Iterator[tuple[Iterator[PlannedRow | RowError], dict[PortraitKey, Picture]]]:
        """The rows of an import, and where the pictures gather that it brings."""
        asked = found.asked
        if asked["kind"] == "choice":
            choice = Choice.from_json(asked)
            with transaction(self.engine) as session:
                names = drawer.names(session, found.person_id, choice.portraits)
            yield choice_rows(choice, manifest, names), {}
            return
        if "file" not in asked:
            raise InputError("the upload broke off before its table was there: send it again")
        path = folder_of(self.settings, found.id) / asked["file"]
        with open_table(path) as opened:
            reader = TableReader(opened, self._table_settings(found, bundle, manifest))
            yield reader.rows(), reader.pictures

    def _table_settings(
        self, found: IntakeFacts, bundle: Path, manifest: Manifest
    ) -> TableSettings:
        asked = found.asked
        return TableSettings.for_bundle(
            manifest,
            preset=asked.get("preset") or None,
            settings=tuple(asked.get("set", ())),
            noise=NoiseMode(asked.get("noise") or NoiseMode.FRESH),
            align=AlignPolicy(asked.get("align") or AlignPolicy.AUTO),
            landmarks=landmarks_file(bundle, manifest),
            confined=True,
            known=self._drawer_of(found.person_id),
        )

    def _drawer_of(self, person_id: int) -> Callable[[str], Picture | None]:
        def look(name: str) -> Picture | None:
            with transaction(self.engine) as session:
                key = drawer.named(session, person_id, name)
                if key is None:
                    return None
                return portraits.pictures(session, self.store, [key]).get(key)

        return look

    def _preflight(self, manifest: Manifest, allow: Iterable[str]) -> Preflight:
        home = self.settings.home
        return Preflight(
            geometry=manifest.geometry,
            cache=MeasureCache(home / MEASURES, manifest.digest) if home.is_dir() else None,
            allow=frozenset(Check(word) for word in allow),
        )

    def _queue(self, found: IntakeFacts) -> None:
        """Writes the batch in slices. How far it is stands in the import, in the same transaction
        as each slice: whoever goes on after a crash leaves nothing out and doubles nothing.
        """
        filled = found.filled
        try:
            filled = filled or self._begin(found)
            while (slice_ := self._slice(found, filled.place)) and slice_.jobs:
                filled = self._add(found, filled, slice_)
        except AlreadySubmitted as error:
            with transaction(self.engine) as session:
                intakes.take_back(session, found.id, error.batch_id)
            return
        except InputError as error:  # a deadline that has passed meanwhile
            with transaction(self.engine) as session:
                told = str(error)
                if filled is not None:  # what is written of it is a batch nevertheless
                    self._close(session, found, filled)
                    told = f"{told}; {filled.jobs} jobs are queued as batch {filled.batch_id}"
                intakes.break_off(session, found.id, told)
            return
        with transaction(self.engine) as session:
            self._close(session, found, filled)
            intakes.end_queueing(session, found.id, filled.batch_id)

    def _close(self, session: Session, found: IntakeFacts, filled: Filled) -> None:
        by = _actor(found, found.order or {})
        jobs.close(session, filled.batch_id, jobs=filled.jobs, submitted_by=by)

    def _begin(self, found: IntakeFacts) -> Filled:
        how: Mapping[str, object] = found.order or {}
        with transaction(self.engine) as session:
            refused = [
                {
                    "line": row.line,
                    "name": row.name,
                    "reason": row.reason,
                    "findings": row.findings,
                }
                for row in self._all_rows(session, found.id, refused=True)
            ]
            batch_id = jobs.begin(
                session,
                name=found.name,
                refused=refused,
                idempotency_key=secrets.token_hex(32) if how.get("again") else found.digest,
                submitted_by=_actor(found, how),
                deadline=_deadline(how),
            )
            now = Filled(batch_id=batch_id, place=0, jobs=0)
            return intakes.fill(session, found.id, None, now)

    def _slice(self, found: IntakeFacts, after: int) -> Slice:
        """The next sound rows behind a place, as jobs."""
        added = int(str((found.order or {}).get("priority") or 0))
        with transaction(self.engine) as session:
            rows = intakes.rows(session, found.id, refused=False, after=after, limit=QUEUE_CHUNK)
        new = [
            NewJob(
                name=row.name,
                spec=JobSpec.from_json(row.spec),
                priority=row.priority + added,
                findings=tuple(row.findings),
            )
            for row in rows
            if row.spec is not None
        ]
        return Slice(jobs=new, last=rows[-1].place if rows else after)

    def _add(self, found: IntakeFacts, filled: Filled, slice_: Slice) -> Filled:
        count = filled.jobs + len(slice_.jobs)
        done = Filled(batch_id=filled.batch_id, place=slice_.last, jobs=count)
        with transaction(self.engine) as session:
            intakes.fill(session, found.id, filled, done)
            jobs.check_jobs(session, slice_.jobs)
            jobs.add(
                session,
                filled.batch_id,
                slice_.jobs,
                bundle_name=self.settings.bundle,
                deadline=_deadline(found.order or {}),
                max_errors=self.settings.max_errors,
                max_losses=self.settings.max_losses,
            )
        return done

    def _all_rows(
        self, session: Session, intake_id: int, *, refused: bool
    ) -> Iterator[intakes.CheckedRow]:
        after = 0
        while found := intakes.rows(
            session, intake_id, refused=refused, after=after, limit=READ_CHUNK
        ):
            yield from found
            after = found[-1].place


def _deadline(how: Mapping[str, object]) -> datetime | None:
    deadline = how.get("deadline")
    return datetime.fromisoformat(str(deadline)) if deadline else None


def _actor(found: IntakeFacts, how: Mapping[str, object]) -> Actor:
    """Who said so, as it was written down with the order."""
    token = how.get("token_id")
    return Actor(
        str(how["by"]),
        via=Via(str(how["via"])),
        person_id=found.person_id,
        token_id=int(str(token)) if token else None,
        address=str(how["address"]) if how.get("address") else None,
    )

"""Where an operator's verb works: on this machine's catalogue, or through a console elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from barber.catalogue import bulk, operate, selection
from barber.catalogue.audit import local_user
from barber.catalogue.bulk import JobVerdict
from barber.catalogue.db import transaction
from barber.catalogue.deeds import Deed, DeedVerb
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.cli.catalogue import Connection, connect
from barber.cli.deadlines import deadline_here
from barber.cli.job_filter import for_api
from barber.cli.remote import Remote, remote
from barber.errors import Conflict, NotFound
from barber.moments import parse_deadline


class Place(Protocol):
    """A running system, as an operator's verb needs it."""

    def moment(self, text: str) -> datetime:
        """What a person means by a deadline. Raises InputError."""

    def one(self, job: int, deed: Deed, *, dry_run: bool) -> str:
        """What became of a job, or would become of it. Raises when it refuses."""

    def count(self, chosen: Selection) -> dict[str, int]:
        """How many jobs a filter meets, by status. Raises NotFound for a batch that is none."""

    def each(self, chosen: Selection, deed: Deed, *, total: int) -> Iterator[JobVerdict]:
        """Does it to all jobs of a filter. Raises Conflict when it meets not so many now."""

    def pause(self, batch: int | None, *, paused: bool, why: str) -> None:
        """Pauses a batch or everything, or ends that."""


@contextmanager
def place(environ: Mapping[str, str], server: str | None, home: Path | None) -> Iterator[Place]:
    """The place that a verb is to work on. Raises as `remote` and `connect`."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            yield There(elsewhere)
            return
    with connect(environ, home) as connection:
        yield Here(connection)


@dataclass(frozen=True, slots=True)
class Here:
    """This machine's catalogue."""

    connection: Connection

    def moment(self, text: str) -> datetime:
        return deadline_here(self.connection, text)

    def one(self, job: int, deed: Deed, *, dry_run: bool) -> str:
        with transaction(self.connection.engine) as session:
            trial = session.begin_nested()
            outcome = deed.do(session, job, by=local_user())
            if dry_run:
                trial.rollback()
        return outcome

    def count(self, chosen: Selection) -> dict[str, int]:
        with transaction(self.connection.engine) as session:
            batch = chosen.batch_id
            if batch is not None and not selection.batch_exists(session, batch):
                raise NotFound(f"no batch {batch}")
            found = selection.count(session, chosen)
        return {str(status): many for status, many in found.items()}

    def each(self, chosen: Selection, deed: Deed, *, total: int) -> Iterator[JobVerdict]:
        by = local_user()
        if (now := sum(self.count(chosen).values())) != total:
            raise Conflict(f"the filter meets {now} jobs now, not {total}: look again")
        return bulk.each(
            self.connection.engine, chosen, lambda session, job: deed.do(session, job, by=by)
        )

    def pause(self, batch: int | None, *, paused: bool, why: str) -> None:
        by = local_user()
        with transaction(self.connection.engine) as session:
            if batch is not None:
                operate.pause_batch(session, batch, by=by, why=why, paused=paused)
            else:
                operate.pause_all(session, by=by, why=why, paused=paused)


@dataclass(frozen=True, slots=True)
class There:
    """A console elsewhere."""

    console: Remote

    def moment(self, text: str) -> datetime:
        return parse_deadline(text, datetime.now(UTC).astimezone())

    def one(self, job: int, deed: Deed, *, dry_run: bool) -> str:
        if dry_run:
            status = self.console.get(f"/jobs/{job}")["job"]["status"]
            takes = JobStatus(status) in deed.takes
            return f"is {status}: " + ("it would be taken" if takes else "it would be left alone")
        told = self.console.post(f"/jobs/{job}/{deed.verb}", _body(deed))
        match deed.verb:
            case DeedVerb.RETRY:
                count = told["stages_set_back"]
                return f"{count} stage{'' if count == 1 else 's'} set back"
            case DeedVerb.CANCEL:
                is_over = told["status"] == JobStatus.CANCELLED
                return "cancelled" if is_over else "stops at its next step"
            case DeedVerb.DELETE:
                return str(told["outcome"])
            case _:
                return deed.done

    def count(self, chosen: Selection) -> dict[str, int]:
        if chosen.batch_id is not None:
            self.console.get(f"/batches/{chosen.batch_id}")  # raises where there is none
        looked = self._act(chosen, {"action": DeedVerb.CANCEL, "why": "counted", "dry_run": True})
        counted: dict[str, int] = looked["count"]
        return counted

    def each(self, chosen: Selection, deed: Deed, *, total: int) -> Iterator[JobVerdict]:
        body = {"action": deed.verb, **_body(deed)}
        page: dict[str, Any] = {"expected": total}
        while True:
            answer = self._act(chosen, {**body, **page})
            for verdict in answer["jobs"]:
                yield JobVerdict(**verdict)
            if answer["next"] is None:
                return
            page = {"after": answer["next"], "up_to": answer["up_to"]}

    def pause(self, batch: int | None, *, paused: bool, why: str) -> None:
        verb = "pause" if paused else "resume"
        path = f"/{verb}" if batch is None else f"/batches/{batch}/{verb}"
        self.console.post(path, {"why": why})

    def _act(self, chosen: Selection, body: Mapping[str, Any]) -> Any:
        whole = {"filter": for_api(chosen), "everything": chosen.is_everything}
        return self.console.post("/jobs/actions", {**whole, **body})


def _body(deed: Deed) -> dict[str, Any]:
    """What the API is told of a deed; what is not given is left out, a deadline of none told."""
    facts = {
        "why": deed.why,
        "stage": deed.stage,
        "from_kind": deed.from_kind,
        "params": deed.params,
        "priority": deed.priority,
        "deadline": deed.deadline.isoformat() if deed.deadline else None,
    }
    kept = {name: value for name, value in facts.items() if value is not None}
    return kept | ({"deadline": facts["deadline"]} if deed.verb is DeedVerb.DEADLINE else {})

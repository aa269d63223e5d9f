"""A catalogue in which every page of the console has something to show; nobody has to work for it.

Portraits and results are drawn people, so that the pages look as they do in a studio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from safetensors.numpy import save
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from barber.catalogue import (
    bulk_actions,
    curves,
    drawer,
    intakes,
    jobs,
    people,
    portraits,
    quality,
    refusals,
    stages,
    studies,
    verdicts,
    webhooks,
    workers,
)
from barber.catalogue.bulk_actions import Wish
from barber.catalogue.bulk_tables import BulkVerb
from barber.catalogue.claims import Claim
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Wanted
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.people_tables import Role
from barber.catalogue.review_tables import Decision
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store, StoredFile
from barber.catalogue.studies import Side, Source
from barber.catalogue.webhook_tables import Happening
from barber.pixels import encode_labels_png, encode_png
from barber.plan import StageKind
from barber.preflight.findings import Check, Finding, Verdict
from barber.quality import FEATURES, Quality
from barber.settings import Settings
from barber.spec import PortraitKey
from barber.table_rows import PlannedRow, RowError
from tests.support.builders import Crew, break_down, hair_spec, submit, view
from tests.support.drawn import SIDE, drawn
from tests.support.people import PASSWORD, person, token

NAMES = ("anna", "berta", "clara", "dora", "edda")
DISK = "the store is full: 12 MB are left on its disk"
NAN = "the loss became nan at step 17: lower the rate"
BLUR = Finding(
    check=Check.BLUR,
    verdict=Verdict.WARN,
    sentence="berta.png is blurred: give a sharper picture",
    number=31.0,
    threshold=60.0,
    portrait="berta.png",
)


@dataclass
class Planted:
    """What was planted, by the rules of the console's pages."""

    engine: Engine
    settings: Settings
    store: Store = field(init=False)
    crew: Crew = field(init=False)
    people: list[PortraitKey] = field(init=False)
    paths: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.settings.store_dir)
        self.crew = Crew(self.engine, replace(self.settings, sweep_s=0.0, backoff_s=0.0))

    def add(self, rule: str, *paths: str) -> None:
        self.paths.setdefault(rule, []).extend(paths)

    def finish(self, session: Session, claim: Claim) -> bool:
        """Ends a stage with what a worker would leave."""
        planned, seed = claim.planned, claim.spec.seed
        curves.record(session, claim, falling(claim.planned.kind))
        rendering = drawn(10 + seed if planned.kind is StageKind.BLEND else planned.slot + 1)
        labels = encode_labels_png(rendering.label_map)
        files = {"segmentation.png": self.file(labels)}
        if planned.kind is StageKind.TARGET:
            data = save({"label_map": rendering.label_map[None]})
            files = {"mask.png": self.file(labels)}
            files[ARTIFACT_FILE] = self.store.store_file(data, "application/x-safetensors")
        else:
            files["image.png"] = self.file(encode_png(rendering.pixels))
        if planned.kind is StageKind.BLEND:
            quality.record(session, planned.key, measured(seed))
        return stages.finish(session, claim, files=files, recipe={})

    def file(self, png: bytes) -> StoredFile:
        return self.store.store_file(png, "image/png")

    def batch(
        self, name: str, seeds: Sequence[int], *, fail: dict[str, str] | None = None, **options: Any
    ) -> list[int]:
        """Jobs that have ended; stages of the kinds in `fail` fail for good of what it says."""
        one, two, three = self.people[:3]
        specs = [hair_spec(one, two, three if seed % 2 else two, seed=seed) for seed in seeds]
        found = submit(self.engine, specs, name=name, **options)
        endings = dict.fromkeys(StageKind, self.finish)
        failing = {kind: break_down(message) for kind, message in (fail or {}).items()}
        self.crew.work({**endings, **failing})
        return found

    def run(self, verb: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with transaction(self.engine) as session:
            return verb(session, *arguments, **options)

    def batch_of(self, job_id: int) -> int:
        return view(self.engine, job_id).row.batch_id


def falling(kind: str) -> list[dict[str, Any]]:
    """A made-up curve of two losses."""
    points = [[step, step / 40, 9.0 / step + 0.4, 3.0 / step] for step in range(1, 41)]
    return [{"phase": kind, "steps": 40, "names": ["total", "pixels"], "points": points}]


def measured(seed: int) -> Quality:
    """Numbers of a result; every fourth one is flagged."""
    return Quality(
        psnr_db=31.5 - seed,
        ssim=0.93,
        distance=0.02,
        distance_name=FEATURES,
        ious={"hair": 0.31 if seed % 4 == 3 else 0.91},
        spread=60.0,
    )


def plant(engine: Engine, settings: Settings) -> Planted:
    """Fills an empty catalogue; `paths` has pages for each of the console's rules."""
    planted = Planted(engine, settings)
    _staff(planted)
    _portraits(planted)
    done = _jobs(planted)
    _reviews(planted, done)
    _studies(planted, done)
    _bulks(planted)
    _imports(planted)
    _record(planted)
    for rule in ("/", "/submit", "/attention", "/audit", "/people", "/webhooks", "/account"):
        planted.add(rule, rule)
    return planted


def _staff(planted: Planted) -> None:
    olga = person(planted.engine, "olga", Role.ADMIN, password=PASSWORD)
    person(planted.engine, "vera", Role.VIEWER)
    person(planted.engine, "otto", Role.OPERATOR, own_only=True)
    token(planted.engine, "olga", Role.ADMIN)
    person(planted.engine, "viktor", Role.VIEWER)
    planted.run(people.change, "viktor", by="olga", why="left the studio", disabled=True)
    planted.run(
        webhooks.add,
        olga.id,
        "https://studio.example/hook",
        list(Happening),
        by="olga",
        allow_private=True,
    )
    for name, queues, status in (
        ("gpu-1@studio", ["gpu", "cpu"], "busy"),
        ("gpu-2@studio", ["gpu"], "draining"),
        ("dispatcher@studio", ["dispatcher"], "ready"),
    ):
        serves = queues != ["dispatcher"]
        introduction = workers.Introduction(
            name=name,
            device="cuda:0" if serves else "none",
            queues=queues,
            pid=1,
            versions={"torch": "2.9"},
            bundle="b" * 64 if serves else None,
            bundle_name="tiny" if serves else None,
            host="studio",
        )
        planted.run(workers.hello, introduction)
        planted.run(workers.seen, name, status=status)


def _portraits(planted: Planted) -> None:
    with transaction(planted.engine) as session:
        planted.people = [
            portraits.register(
                session,
                planted.store,
                encode_png(drawn(number).pixels),
                size=SIDE,
                name=f"{name}.png",
            )
            for number, name in enumerate(NAMES, 1)
        ]
        olga = people.find(session, "olga")
        drawer.put(
            session,
            olga.id,
            {key: f"{name}.png" for key, name in zip(planted.people, NAMES, strict=True)},
        )


def _jobs(planted: Planted) -> list[int]:
    """Jobs in every state; returns those that have succeeded."""
    refused = [{"line": 7, "name": "broken", "reason": "broken.png is damaged: export it again"}]
    done = planted.batch("night of the fair", range(4), refused=refused, submitted_by="olga")
    disk = planted.batch("summer", range(20, 22), fail={"blend": DISK})
    planted.batch("portraits of the staff", range(30, 31), fail={"align": NAN})
    one, two = planted.people[3:]
    held = submit(planted.engine, [hair_spec(one, two, seed=n) for n in (40, 41)], name="paused")
    planted.run(jobs.pause_batch, planted.batch_of(held[0]), by="olga", why="wait for the bride")
    planted.run(jobs.cancel, held[1], by="olga", why="not wanted")
    (running,) = submit(planted.engine, [hair_spec(two, one, seed=50)], name="wedding")
    _begin(planted)
    (queued,) = submit(planted.engine, [hair_spec(two, one, seed=51)], name="wedding, again")
    _deadline(planted, queued)
    shown = (done[0], running, disk[0], held[1])
    planted.add("/jobs", "/jobs", "/jobs?status=failed&failed_in=align", "/jobs?text=nothing-such")
    planted.add("/jobs/<id:job_id>", *(f"/jobs/{job_id}" for job_id in shown))
    planted.add("/jobs/<id:job_id>/change", f"/jobs/{queued}/change")
    planted.add("/jobs/<id:job_id>/clone", f"/jobs/{done[0]}/clone")
    planted.add("/jobs/<id:job_id>/mask", f"/jobs/{done[0]}/mask")
    planted.add(
        "/batches/<id:batch_id>",
        *(f"/batches/{planted.batch_of(job_id)}" for job_id in (done[0], disk[0], held[0])),
    )
    return done


def _begin(planted: Planted) -> None:
    """The latest job runs: its mask is there, a portrait is at work, the rest waits."""
    crew = planted.crew
    crew.tick()
    for message in crew.messages():
        crew.run(message, planted.finish)
    crew.tick()
    claim = crew.claim(crew.messages()[0], worker="gpu-1@studio")
    assert claim is not None
    png = encode_png(drawn(3).pixels)
    planted.run(stages.heartbeat, claim, lease_s=9999, progress=0.4, note="step 160 of 400")
    planted.run(stages.record_preview, claim, step=160, png=png)
    planted.run(curves.record, claim, falling(claim.planned.kind))


def _deadline(planted: Planted, job_id: int) -> None:
    with transaction(planted.engine) as session:
        session.execute(
            text("UPDATE job SET deadline = now() + interval '9 hours' WHERE id = :id"),
            {"id": job_id},
        )


def _reviews(planted: Planted, done: Sequence[int]) -> None:
    for decision, job_ids in ((Decision.ACCEPTED, done[:3]), (Decision.REJECTED, done[3:4])):
        planted.run(verdicts.decide, Wanted(job_ids=tuple(job_ids)), decision, by="olga")
    batch = planted.batch_of(done[0])
    planted.add(
        "/results", "/results", f"/results?batch={batch}", f"/results?batch={batch}&show=flagged"
    )
    planted.add("/results/<id:job_id>", *(f"/results/{job}?batch={batch}" for job in done[2:4]))


def _studies(planted: Planted, done: Sequence[int]) -> None:
    """One that waits for votes, one that has some, one that everybody has done with."""
    other = planted.batch("night of the fair, without masks", range(60, 64))
    a = Source(label="ours", batch_id=planted.batch_of(done[0]))
    b = Source(label="plain", batch_id=planted.batch_of(other[0]))
    voters = {name: planted.run(people.find, name).id for name in ("olga", "otto", "vera")}
    made = [
        planted.run(studies.make, name=name, a=a, b=b, by="olga", maker_id=voters["olga"])[0]
        for name in ("with masks or without", "spring", "untouched")
    ]
    for study, names in ((made[0], ("olga", "otto", "vera")), (made[1], ("otto",))):
        for name in names:
            for pair in range(4):
                side = Side.LEFT if (pair * 5 + len(name)) % 3 else Side.RIGHT
                planted.run(studies.vote, study, voters[name], pair, side)
    planted.run(studies.close, made[0], by="olga")
    planted.add("/studies", "/studies")
    planted.add("/studies/<id:study_id>", *(f"/studies/{study}" for study in made[:2]))
    planted.add("/studies/<id:study_id>/results", *(f"/studies/{n}/results" for n in made[1:]))


def _bulks(planted: Planted) -> None:
    found = Selection(statuses=(JobStatus.FAILED,))
    wish = Wish(verb=BulkVerb.PRIORITY, chosen=found, why="the fair is tomorrow", priority=9)
    done = planted.run(bulk_actions.create, wish, by="olga")
    while bulk_actions.work_off(planted.engine, seconds=1.0):
        pass
    again = Wish(verb=BulkVerb.CANCEL, chosen=Selection(text="wedding"), why="rained off")
    waiting = planted.run(bulk_actions.create, again, by="olga")
    planted.add("/bulk", "/bulk")
    planted.add("/bulk/<id:bulk_id>", f"/bulk/{done}", f"/bulk/{waiting}")
    planted.add(
        "/bulk/new", *(f"/bulk/new?verb={verb}&status=failed" for verb in ("retry", "priority"))
    )


def _imports(planted: Planted) -> None:
    one, two, three, *_ = planted.people
    good = [
        PlannedRow(line=line, name=name, spec=hair_spec(one, other), priority=0, findings=found)
        for line, name, other, found in (
            (2, "anna-berta", two, (BLUR,)),
            (3, "anna-clara", three, ()),
        )
    ]
    reason = "identity 'zoe.png': there is no such picture; send it, or correct the name"
    bad = RowError(line=4, name="zoe", reason=reason)
    olga = planted.run(people.find, "olga").id
    checked = planted.run(intakes.begin, olga, "night.csv", {"kind": "table"})
    planted.run(intakes.add_rows, checked, 1, [*good, bad])
    planted.run(intakes.end_check, checked, "d" * 64)
    broken = planted.run(intakes.begin, olga, "cut.zip", {"kind": "table"})
    planted.run(intakes.break_off, broken, "cut.zip is damaged: pack it again")
    planted.add("/imports/<id:intake_id>", f"/imports/{checked}", f"/imports/{broken}")


def _record(planted: Planted) -> None:
    message = {"kind": "blend", "stage_id": "x"}
    planted.run(refusals.record, refusals.Source.BROKER, "stage_id 'x' is no number", message)
    planted.run(webhooks.expand)
    for call in planted.run(webhooks.take, 3, 3):
        planted.run(webhooks.delivered, call, 200, "thank you")
    planted.add("/login", "/login")
    planted.add("/login/<secret>", "/login/not-a-link")

"""Dispatcher, workers, operators, faults and time, in any order, against the plain-Python model.

Each rule does one thing to the catalogue and the same to the model, and then everything that the
model knows is compared. Time moves by changing the rows' own moments, never by waiting. Sequences
of such things that chance alone would seldom bring about are in `moments`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ClassVar, Self, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
)
from hypothesis.stateful import rule as hypothesis_rule
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from barber.catalogue import claims, deadlines, dispatch, garbage, jobs, rework, stages, workers
from barber.catalogue.db import transaction
from barber.catalogue.garbage import SHARDS, Keep
from barber.catalogue.jobs import NewJob
from barber.catalogue.stages import Claim
from barber.errors import Conflict, NotFound
from barber.plan import StageKind
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.model.reference import MAX_ERRORS, MAX_LOSSES, Job, Reference, Stage
from tests.support.builders import BUNDLE, Crew, Message, hair_spec, known_portraits, succeed
from tests.support.invariants import offences

T = TypeVar("T")

PICK = st.integers(0, 10**6)
FAR = datetime.now(UTC) + timedelta(days=1000)
LONG_S = 100_000.0  # no lease and no backoff ends by itself within a run
ALL = Keep(days=0, intermediate_days=0)
PAST = "now() - interval '9 days'"
NEAR = "now() + interval '1 hour'"  # no history takes so long
TO_COME = (("stage", "lease_until"), ("stage", "not_before"), ("job", "deadline"))
MOST_JOBS = 6
HOW = st.sampled_from(["finish", "finish", "fail", "fail for good", "return"])  # a stage may end
FORGET = """
TRUNCATE batch, job, job_count, job_change, stage, artifact, event, outbox, refused_message, control
 CASCADE"""

SEEN = text("""
SELECT (SELECT json_object_agg(id, json_build_array(
            status, cancel_requested, generation, deadline <= now())) FROM job),
       (SELECT json_object_agg(id, json_build_array(
            status, generation, token, errors, losses,
            status = 'pending' AND coalesce(not_before > now(), false),
            status = 'running' AND coalesce(lease_until < now(), true))) FROM stage),
       (SELECT json_object_agg(key, json_build_array(status, builder_stage, EXISTS (
            SELECT FROM artifact_file WHERE artifact_key = key))) FROM artifact),
       (SELECT coalesce(sum(times), 0) FROM refused_message)
""")


def rule(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """Hypothesis' rule, counted each time, also as a part of another."""

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def counted(self: Transitions, *args: Any, **given: Any) -> None:
            self.fired[function.__name__] += 1
            function(self, *args, **given)

        return hypothesis_rule(**drawn)(counted)  # type: ignore[no-untyped-call]

    return decorate


class Transitions(RuleBasedStateMachine):
    """`on` sets `engine` and `settings` on the class."""

    engine: Engine
    settings: Settings
    people: list[PortraitKey]
    backoff_s = LONG_S
    steps = 0  # over all examples
    seen: ClassVar[Counter[str]] = Counter()  # jobs that were in a status at some time
    fired: ClassVar[Counter[str]] = Counter()  # how often each rule was tried

    @classmethod
    def on(cls, settings: Settings) -> type[Self]:
        """The machine on a database of its own, with an engine that the caller disposes of."""
        # Without asking at each transaction whether the server is still there.
        cls.engine = create_engine(
            settings.database_url, connect_args={"options": "-c timezone=UTC"}
        )
        cls.settings = replace(
            settings, window=1000, sweep_s=0.0, lease_s=LONG_S, backoff_s=LONG_S, grace_s=60.0
        )
        claims.DECLINE_S = LONG_S
        cls.people = known_portraits(cls.engine, 3 + 2 * MOST_JOBS)
        cls.steps = 0
        cls.seen.clear()
        cls.fired.clear()
        return cls

    def __init__(self) -> None:
        super().__init__()
        with transaction(self.engine) as session:
            session.execute(text(FORGET))
        self.crew = Crew(self.engine, self.settings)
        self.model = Reference()
        self._come_and_go(present=True)
        self.messages: list[Message] = []
        self.claims: list[Claim] = []
        self.stood: set[tuple[int, str]] = set()  # which job had which status

    def do(self, action: Callable[[Session], T]) -> T:
        with transaction(self.engine) as session:
            return action(session)

    def refused(self, action: Callable[[Session], object]) -> bool:
        try:
            self.do(action)
        except (Conflict, NotFound):
            return True
        return False

    def receive(self) -> None:
        """What the outbox gives is what was decided since: no message more, no message less."""
        arrived = self.crew.messages()
        decided = sorted(self.model.decided)
        self.model.decided.clear()
        assert sorted((m["stage_id"], m["generation"]) for m in arrived) == decided
        self.messages += arrived

    def job(self, pick: int) -> Job:
        return list(self.model.jobs.values())[pick % len(self.model.jobs)]

    def ended(self, pick: int) -> Job:
        """A job that has ended, if there is one: mostly it shall run again."""
        over = [job for job in self.model.jobs.values() if job.over]
        return over[pick % len(over)] if over and pick % 4 else self.job(pick)

    def place(self, job: Job) -> int:
        """The `pick` that finds this job."""
        return list(self.model.jobs).index(job.id)

    def has_jobs(self) -> bool:
        return bool(self.model.jobs)

    # -- people

    @initialize(
        pick=PICK,
        again=st.booleans(),
        rounds=st.integers(0, 5),
        due=st.booleans(),
        patient=st.sampled_from([True, True, False]),
    )
    def begin(self, pick: int, again: bool, rounds: int, due: bool, patient: bool) -> None:
        """Histories begin anywhere from a submission to a result: few would come so far."""
        self.model.patient = patient
        self.backoff_s = LONG_S if patient else 0.0
        self.settings = replace(self.settings, backoff_s=self.backoff_s)
        self.submit(pick, due=due, again=again, batch=True)
        if rounds:
            self.all_goes_well(rounds, eased=False, pick=pick)

    @precondition(lambda self: len(self.model.jobs) < MOST_JOBS)
    @rule(pick=PICK, due=st.booleans(), again=st.booleans(), batch=st.booleans())
    def submit(self, pick: int, due: bool, again: bool, batch: bool) -> None:
        a, b, c = (self.people[(pick + n) % 3] for n in range(3))
        kinds = [JobSpec(identity=a, bundle=BUNDLE), hair_spec(a, b), hair_spec(a, b, c)]
        self._submit([kinds[pick // 3 % 3]] * (2 if again else 1), pick, due=due, batch=batch)

    def _submit(self, specs: list[JobSpec], pick: int, *, due: bool, batch: bool) -> None:
        new = [NewJob(name="n", spec=spec, priority=pick % 2) for spec in specs]
        budgets: dict[str, Any] = {"max_errors": MAX_ERRORS, "max_losses": MAX_LOSSES}
        facts: dict[str, Any] = {"submitted_by": "ann" if batch else None, **budgets}
        facts["deadline"] = FAR if due else None
        number = self.do(lambda s: jobs.submit(s, name="b", jobs=new, bundle_name="t", **facts))
        query = "SELECT job_id, array_agg(stage.id ORDER BY stage.id) FROM stage JOIN job"
        query += " ON job.id = job_id WHERE batch_id = :batch GROUP BY job_id ORDER BY job_id"
        rows = self.do(lambda s: s.execute(text(query), {"batch": number}).all())
        for spec, (job_id, stage_ids) in zip(specs, rows, strict=True):
            self.model.submit(number, job_id, spec, stage_ids, due)

    @precondition(has_jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job = self.job(pick)
        over = job.over
        assert self.refused(lambda s: jobs.cancel(s, job.id, by="ann")) is over
        if not over:
            self.model.cancel(job)

    @precondition(has_jobs)
    @rule(pick=PICK, single=st.booleans())
    def retry(self, pick: int, single: bool) -> None:
        job = self.ended(pick)
        self._retry(job, job.stages[pick // 7 % len(job.stages)] if single else None)

    def _retry(self, job: Job, only: Stage | None = None) -> None:
        stage_id = only.id if only else None
        refused = self.refused(lambda s: jobs.retry(s, job.id, by="ann", stage_id=stage_id))
        assert self.model.retry(job, only) is not refused

    @precondition(has_jobs)
    @rule(pick=PICK, kind=st.sampled_from(list(StageKind)))
    def run_from(self, pick: int, kind: StageKind) -> None:
        job = self.ended(pick)
        refused = self.refused(lambda s: rework.run_from(s, job.id, kind, by="ann"))
        assert self.model.run_from(job, kind) is not refused

    @precondition(has_jobs)
    @rule(pick=PICK, steps=st.integers(1, 2))
    def change_params(self, pick: int, steps: int) -> None:
        job = self.ended(pick)
        changes = {"blend": {"steps": steps}}
        refused = self.refused(lambda s: rework.change_params(s, job.id, changes, by="ann"))
        blend = replace(job.spec.params.blend, steps=steps)
        spec = replace(job.spec, params=replace(job.spec.params, blend=blend))
        assert self.model.change_params(job, spec) is not refused

    @precondition(has_jobs)
    @rule(pick=PICK, what=st.sampled_from(["job", "batch", "all"]), paused=st.booleans())
    def pause(self, pick: int, what: str, paused: bool) -> None:
        job = self.job(pick)
        if what == "job":
            self.do(lambda s: jobs.pause(s, job.id, by="ann", paused=paused))
            job.paused = paused
        elif what == "batch":
            self.do(lambda s: jobs.pause_batch(s, job.batch, by="ann", paused=paused))
            (self.model.paused_batches.add if paused else self.model.paused_batches.discard)(
                job.batch
            )
        else:
            self.do(lambda s: jobs.pause_all(s, by="ann", paused=paused))
            self.model.paused = paused

    @precondition(has_jobs)
    @rule(pick=PICK, priority=st.integers(-2, 2))
    def set_priority(self, pick: int, priority: int) -> None:
        self.do(lambda s: jobs.set_priority(s, self.job(pick).id, priority, by="ann"))

    @precondition(has_jobs)
    @rule(pick=PICK, some=st.booleans())
    def set_deadline(self, pick: int, some: bool) -> None:
        job = self.job(pick)
        refusal = job.over or job.too_late
        moment = FAR if some else None
        assert self.refused(lambda s: jobs.set_deadline(s, job.id, moment, by="a")) is refusal
        if not refusal:
            job.deadline = "to come" if some else ""

    # -- the dispatcher

    @rule()
    def reap(self) -> None:
        self.do(lambda s: dispatch.reap(s, self.settings))
        self.model.reap()

    @rule()
    def expire(self) -> None:
        self.do(lambda s: deadlines.expire(s, self.settings))
        self.model.expire()

    @rule()
    def resend(self) -> None:
        self.do(lambda s: dispatch.resend(s, self.settings))
        self.model.resend()

    @rule()
    def sweep(self) -> None:
        self.do(lambda s: dispatch.sweep(s, self.settings))
        self.model.sweep()

    @rule()
    def fill(self) -> None:
        def action(session: Session) -> list[int]:
            latest = session.scalar(text("SELECT coalesce(max(id), 0) FROM event"))
            dispatch.fill(session, self.settings)
            query = "SELECT job_id FROM event WHERE id > :latest ORDER BY id"
            return list(session.scalars(text(query), {"latest": latest}))

        self.model.fill(dict.fromkeys(self.do(action)))
        self.receive()

    @rule()
    def publish(self) -> None:
        self.receive()

    @precondition(has_jobs)
    @rule(pick=PICK, ahead=st.integers(-1, 1))
    def fan_in(self, pick: int, ahead: int) -> None:
        job = self.job(pick)
        chord = max(0, job.chord + ahead)
        done = self.do(lambda s: dispatch.offer_blend(s, job.id, chord))
        if chord > job.chord:
            self.model.refusals += 1
            assert not done
        else:
            assert self.model.offer_blend(job) is done
        self.receive()

    @rule()
    def collect_garbage(self) -> None:
        def action(session: Session) -> None:
            for shard in self._shards():
                garbage.collect_artifacts(session, shard, ALL)

        self.do(action)
        self.model.collect()

    def _shards(self) -> list[int]:
        """Those in which something lies: 256 empty ones a step would be long."""
        found = sorted({int(key[:2], 16) for key in self.model.artifacts})
        assert set(found) <= set(range(SHARDS))
        return found

    # -- workers; a message may come late, twice, or never

    @precondition(lambda self: self.messages)
    @rule(pick=PICK, late=st.booleans())
    def claim_anything(self, pick: int, late: bool) -> None:
        place = pick % len(self.messages) if late else -1 - pick % min(4, len(self.messages))
        self._take(self.messages[place])

    def _take(self, message: Message) -> Claim | None:
        claim = self.crew.claim(message)
        taken = self.model.claim(message["stage_id"], message["generation"])
        assert (claim is not None) is taken
        if claim is not None:
            self.claims.append(claim)
        return claim

    @precondition(has_jobs)
    @rule(rounds=st.integers(1, 6), eased=st.booleans(), pick=PICK)
    def all_goes_well(self, rounds: int, eased: bool, pick: int) -> None:
        """Without this, few histories would come to a blend."""
        if eased:
            self.ease(self.job(pick))
        for _ in range(rounds):
            before = len(self.messages)
            self.fill()
            self.sweep()
            self.publish()
            for message in self.messages[before:]:
                claim = self._take(message)
                if claim is not None:
                    self._end(claim, "finish")

    def decline(self, message: Message) -> None:
        ids = (message["stage_id"], message["generation"])
        """It comes to a worker that holds another bundle."""
        facts: dict[str, Any] = {"worker": "w", "device": "cpu", "lease_s": LONG_S}
        assert self.do(lambda s: stages.claim(s, *ids, **facts, bundle="c" * 64)) is None
        self.model.decline(*ids)

    @rule(stage=st.integers(0, 10**6), ahead=st.integers(1, 5))
    def claim_what_cannot_be(self, stage: int, ahead: int) -> None:
        known = list(self.model.stages)
        wanted = known[stage % len(known)] if known and stage % 2 else 10**9 + stage
        generation = ahead + (self.model.stages[wanted].generation if wanted in known else 0)
        assert self.crew.claim({"stage_id": wanted, "generation": generation}) is None
        assert not self.model.claim(wanted, generation)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def heartbeat(self, pick: int) -> None:
        claim = self.claims[pick % len(self.claims)]
        self._beat(claim)

    def _beat(self, claim: Claim) -> None:
        pulse = self.do(lambda s: stages.heartbeat(s, claim, lease_s=LONG_S, progress=0.5))
        assert pulse == self.model.heartbeat(claim.stage_id, claim.token)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, how=HOW)
    def end(self, pick: int, how: str) -> None:
        """Holders and zombies alike; a finish that is told twice is still true."""
        self._end(self.claims[-1 - pick % min(3, len(self.claims))], how)

    def _end(self, claim: Claim, how: str) -> None:
        held = self.model.holds(claim.stage_id, claim.token)
        stage = self.model.stages[claim.stage_id]
        if how == "finish":
            done = self.do(lambda s: succeed(s, claim))
            if held:
                self.model.finish(stage)
        elif how == "return":
            done = self.do(lambda s: stages.hand_back(s, claim, "drained"))
            if held:
                self.model.hand_back(stage)
        else:
            facts: dict[str, Any] = {
                "error_class": "E",
                "message": "m",
                "backoff_s": self.backoff_s,
            }
            final = how == "fail for good"
            done = self.do(lambda s: stages.fail(s, claim, final=final, **facts))
            if held:
                self.model.fail(stage, final)
        assert done or not held
        self.receive()

    def ease(self, job: Job) -> None:
        """Nothing holds a job back but its own state."""
        held = {"all": self.model.paused, "batch": job.batch in self.model.paused_batches}
        for what in (what for what, paused in {**held, "job": job.paused}.items() if paused):
            self.pause(self.place(job), what, paused=False)
        if not self.model.served:
            self.workers_come_or_go(present=True)
        if any(stage.waits for stage in self.model.stages.values()):
            self.waits_are_over()

    # -- faults and time

    @rule(present=st.booleans())
    def workers_come_or_go(self, present: bool) -> None:
        self._come_and_go(present)
        self.model.served = present

    def _come_and_go(self, present: bool) -> None:
        facts: dict[str, Any] = {"device": "cpu", "queues": ["gpu"], "pid": 1, "versions": {}}
        who = workers.Introduction(name="w", bundle=BUNDLE, bundle_name="tiny", **facts)
        self.do(lambda s: workers.hello(s, who, alive_s=LONG_S))
        if not present:
            self.do(lambda s: workers.bye(s, "w"))

    @rule(pick=PICK)
    def lease_runs_out(self, pick: int) -> None:
        running = [s for s in self.model.stages.values() if s.status == "running"]
        if running:
            self._end_lease(running[pick % len(running)])

    def _end_lease(self, stage: Stage) -> None:
        self._move("UPDATE stage SET lease_until = now() WHERE id = :id", stage.id)
        stage.late = True

    @rule(pick=PICK)
    def message_is_long_under_way(self, pick: int) -> None:
        out = [s for s in self.model.stages.values() if s.status == "dispatched"]
        if out:
            self._age(out[pick % len(out)])

    def _age(self, stage: Stage) -> None:
        """Nothing, when its message waits behind another of its branch."""
        aged = f"UPDATE stage SET ready_at = {PAST} WHERE id = :id AND ready_at IS NOT NULL"
        stage.stale |= self._move(aged, stage.id) > 0

    @rule()
    def waits_are_over(self) -> None:
        self._move("UPDATE stage SET not_before = now() WHERE not_before > now()")
        for stage in self.model.stages.values():
            stage.waits = False

    @rule()
    def ends_come_near(self) -> None:
        """Leases, waits and deadlines are soon over, but not yet: nothing changes."""
        for table, column in TO_COME:
            soon = f"UPDATE {table} SET {column} = {NEAR} WHERE {column} > {NEAR}"
            self._move(soon)

    @precondition(has_jobs)
    @rule(pick=PICK)
    def deadline_passes(self, pick: int) -> None:
        self._pass_deadline(self.job(pick))

    def _pass_deadline(self, job: Job) -> None:
        if job.deadline:
            self._move("UPDATE job SET deadline = now() WHERE id = :id", job.id)
            job.deadline = "past"

    @rule(pick=PICK)
    def file_is_damaged(self, pick: int) -> None:
        ready = sorted(k for k, status in self.model.artifacts.items() if status == "ready")
        if ready:
            self._damage(ready[pick % len(ready)])

    def _damage(self, key: str) -> None:
        assert self.do(lambda s: stages.quarantine(s, key))
        assert self.model.quarantine(key)

    def _move(self, statement: str, row: int = 0) -> int:
        """Returns how many rows it changed."""
        with self.engine.begin() as connection:
            return connection.execute(text(statement), {"id": row} if row else {}).rowcount

    # -- what must hold

    @invariant()
    def agrees(self) -> None:
        """The catalogue is what the model says, row by row. Each comparison is a step."""
        type(self).steps += 1
        with self.engine.connect() as connection:
            told_jobs, told_stages, told_artifacts, refusals = connection.execute(SEEN).one()
        model = self.model
        self.stood |= {(job.id, job.status) for job in model.jobs.values()}
        assert (told_jobs or {}) == {
            str(j.id): [j.status, j.cancel, j.chord, j.too_late if j.deadline else None]
            for j in model.jobs.values()
        }
        assert (told_stages or {}) == {
            str(s.id): [
                s.status,
                s.generation,
                s.token,
                s.errors,
                s.losses,
                s.awaits_repeat,
                s.is_late,
            ]
            for s in model.stages.values()
        }
        assert (told_artifacts or {}) == {
            key: [status, model.builders.get(key), status == "ready"]
            for key, status in model.artifacts.items()
        }
        assert refusals == model.refusals

    def teardown(self) -> None:
        """After any history: nothing contradicts itself, and once it is calm every job ends."""
        self.seen.update(status for _, status in self.stood)
        assert offences(self.engine) == []
        crew = Crew(self.engine, replace(self.settings, backoff_s=0.0))
        calm = (
            "UPDATE job SET paused = false",
            "UPDATE batch SET paused = false",
            "DELETE FROM control",
            f"UPDATE stage SET lease_until = {PAST} WHERE status = 'running'",
            "UPDATE stage SET not_before = NULL",
        )
        for statement in calm:
            self._move(statement)
        self._come_and_go(present=True)
        open_jobs = text("SELECT id FROM job WHERE finished_at IS NULL")
        for _ in range(12):
            self._move(f"UPDATE stage SET ready_at = {PAST} WHERE status = 'dispatched'")
            crew.work()
            if not self.do(lambda s: s.scalars(open_jobs).all()):
                break
        assert self.do(lambda s: s.scalars(open_jobs).all()) == []
        assert offences(self.engine) == []

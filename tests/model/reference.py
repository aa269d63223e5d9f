"""What the catalogue must do, in plain Python: no SQL, no locks, none of its code but the plan.

Every method is one call of dispatcher, worker or operator, and changes dictionaries. Where several
outcomes are right (who of two waiting jobs builds what both need), the caller says what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from barber.plan import plan
from barber.spec import JobSpec

WAITING, OUT = ("pending", "dispatched"), ("dispatched", "running")
OVER = ("succeeded", "failed", "cancelled")
MAX_ERRORS, MAX_LOSSES = 3, 2


@dataclass
class Stage:
    id: int
    job: Job
    kind: str
    slot: int
    portrait: str | None
    key: str
    needs: tuple[str, ...]
    status: str = "pending"
    generation: int = 0
    token: int = 0
    errors: int = 0
    losses: int = 0
    waits: bool = False  # for its repeat
    stale: bool = False  # its message has been under way for too long
    late: bool = False  # its lease has run out

    @property
    def awaits_repeat(self) -> bool:
        return self.waits and self.status == "pending"

    @property
    def is_late(self) -> bool:
        return self.late and self.status == "running"

    def fresh(self) -> None:
        self.status, self.errors, self.losses, self.waits = "pending", 0, 0, False


@dataclass
class Job:
    id: int
    batch: int
    spec: JobSpec
    status: str = "queued"
    cancel: bool = False
    paused: bool = False
    chord: int = 0
    deadline: str = ""  # "", "to come", "past"
    stages: list[Stage] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def too_late(self) -> bool:
        return self.deadline == "past"

    @property
    def blend(self) -> Stage:
        return next(stage for stage in self.stages if stage.kind == "blend")

    def of(self, *kinds: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.kind in kinds]


@dataclass
class Reference:
    """The whole catalogue."""

    jobs: dict[int, Job] = field(default_factory=dict)
    stages: dict[int, Stage] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)  # key -> status
    builders: dict[str, int] = field(default_factory=dict)  # key -> stage
    kinds: dict[str, str] = field(default_factory=dict)  # key -> kind
    paused_batches: set[int] = field(default_factory=set)
    paused: bool = False
    patient: bool = True  # whether a repeat waits at all
    served: bool = True  # whether a live worker holds the jobs' bundle
    decided: list[tuple[int, int]] = field(default_factory=list)  # (stage, generation) to publish
    refusals: int = 0  # messages that nobody can have sent

    # -- submitting, and what a person wishes

    def submit(self, batch: int, job_id: int, spec: JobSpec, ids: Sequence[int], due: bool) -> None:
        job = Job(job_id, batch, spec, deadline="to come" if due else "")
        for stage_id, planned in zip(ids, plan(spec), strict=True):
            facts = (planned.kind.value, planned.slot, planned.portrait)
            stage = Stage(stage_id, job, *facts, planned.key, tuple(planned.needs))
            job.stages.append(stage)
            self.stages[stage_id] = stage
            self.artifacts.setdefault(planned.key, "missing")
            self.kinds[planned.key] = planned.kind.value
        self.jobs[job_id] = job

    def cancel(self, job: Job) -> None:
        if job.cancel:
            return
        job.cancel = True
        for stage in job.stages:
            if stage.status in WAITING:
                stage.status = "cancelled"
                self.release(stage)
        if not any(stage.status == "running" for stage in job.stages):
            job.status = "cancelled"

    def retry(self, job: Job, only: Stage | None) -> bool:
        """False when it must be refused."""
        if job.cancel and job.status != "cancelled":
            return False
        if only is not None and only.status not in ("failed", "cancelled"):
            return False
        chosen = [
            stage
            for stage in job.stages
            if stage.status == "cancelled"
            or (stage.status == "failed" and (only is None or stage is only))
        ]
        if not chosen and job.status != "cancelled":
            return False
        for stage in chosen:
            stage.fresh()
        self.open_again(job)
        return True

    def run_from(self, job: Job, kind: str) -> bool:
        if not job.over or not job.of(kind):
            return False
        again = set(map(id, job.of(kind)))
        for _ in job.stages:  # as deep as it gets
            keys = {stage.key for stage in job.stages if id(stage) in again}
            again |= {id(stage) for stage in job.stages if keys & set(stage.needs)}
        for stage in job.stages:
            if id(stage) in again and self.artifacts[stage.key] == "ready":
                others = (s for s in self.stages.values() if s.key == stage.key)
                if not any(s.job is not job and s.status == "succeeded" for s in others):
                    self.artifacts[stage.key] = "missing"
        for stage in job.stages:
            if stage.status in ("failed", "cancelled") or (
                id(stage) in again and stage.status == "succeeded"
            ):
                stage.fresh()
        self.open_again(job)
        return True

    def change_params(self, job: Job, spec: JobSpec) -> bool:
        planned = {(new.kind.value, new.slot): new for new in plan(spec)}
        changed = [s for s in job.stages if planned[s.kind, s.slot].key != s.key]
        if not job.over or not changed:
            return False
        job.spec = spec
        for stage in changed:
            new = planned[stage.kind, stage.slot]
            stage.key, stage.needs = new.key, tuple(new.needs)
            self.artifacts.setdefault(new.key, "missing")
            self.kinds[new.key] = stage.kind
            stage.fresh()
        for stage in job.stages:
            if stage.status in ("failed", "cancelled"):
                stage.fresh()
        self.open_again(job)
        return True

    def open_again(self, job: Job) -> None:
        job.status, job.cancel = "running", False
        job.deadline = "" if job.too_late else job.deadline
        self.reopen(job)
        self.settle(job)

    # -- workers

    def claim(self, stage_id: int, generation: int) -> bool:
        stage = self.stages.get(stage_id)
        if stage is None or generation > stage.generation:
            self.refusals += 1
            return False
        if stage.status != "dispatched" or stage.generation != generation:
            return False
        job = stage.job
        if not all(self.artifacts[need] == "ready" for need in stage.needs):
            stage.status = "pending"
            self.release(stage)
            return False
        if job.status != "running" or job.cancel or job.too_late:
            return False
        stage.status, stage.late = "running", False
        stage.token += 1
        return True

    def decline(self, stage_id: int, generation: int) -> None:
        """A worker with another bundle got the message."""
        stage = self.stages[stage_id]
        if stage.status == "dispatched" and stage.generation == generation:
            stage.status, stage.waits = "pending", True
            self._set_back(stage)

    def holds(self, stage_id: int, token: int) -> bool:
        stage = self.stages[stage_id]
        return stage.status == "running" and stage.token == token

    def heartbeat(self, stage_id: int, token: int) -> str:
        if not self.holds(stage_id, token):
            return "lost"
        stage = self.stages[stage_id]
        stage.late = False
        if stage.job.cancel:
            return "cancel"
        return "late" if stage.job.too_late else "go"

    def finish(self, stage: Stage) -> None:
        waiting = [
            other.job
            for other in self.stages.values()
            if other.key == stage.key
            and other.status == "pending"
            and other.job.status == "running"
        ]
        stage.status, stage.waits = "succeeded", False
        self.artifacts[stage.key] = "ready"
        self.builders.pop(stage.key)
        self.settle(stage.job)
        for job in waiting:
            self.reuse(s for s in job.stages if s.key == stage.key)
        for job in sorted(waiting, key=lambda job: job.id):
            self.settle(job)
            self.offer_blend(job)

    def fail(self, stage: Stage, final: bool) -> None:
        stage.errors += 1
        for_good = final or stage.errors >= MAX_ERRORS
        self._come_back(stage, for_good, waits=True)

    def hand_back(self, stage: Stage) -> None:
        self._come_back(stage, False, waits=False)

    def _come_back(self, stage: Stage, for_good: bool, *, waits: bool) -> None:
        """A stage leaves its worker without having succeeded."""
        stage.status = "pending"
        if for_good or stage.job.too_late:
            stage.status = "failed"
        if stage.job.cancel:
            stage.status = "cancelled"
        if waits:
            stage.waits = self.patient and stage.status == "pending"
        self._set_back(stage)

    def quarantine(self, key: str) -> bool:
        if self.artifacts.get(key) != "ready":
            return False
        having = [job for job in self.jobs.values() if any(s.key == key for s in job.stages)]
        self.artifacts[key] = "missing"
        for job in having:
            result = job.status == "succeeded" and job.blend.key == key
            if result:
                job.status, job.deadline = "running", ""
            if job.status == "running":
                self.reopen(job)
                self._recall(job, key)
                self.settle(job)
        return True

    # -- the dispatcher

    def reap(self) -> None:
        for stage in [s for s in self.stages.values() if s.status == "running" and s.late]:
            stage.losses += 1
            self._come_back(stage, stage.losses >= MAX_LOSSES, waits=True)

    def expire(self) -> None:
        for job in self.jobs.values():
            waiting = [stage for stage in job.stages if stage.status in WAITING]
            if job.too_late and not job.over and not job.cancel and waiting:
                for stage in waiting:
                    stage.status = "failed"
                    self.release(stage)
                self.settle(job)

    def resend(self) -> None:
        for stage in [s for s in self.stages.values() if s.status == "dispatched" and s.stale]:
            if stage.status == "dispatched":
                stage.status = "pending"
                self._set_back(stage)

    def sweep(self) -> None:
        for job in self.jobs.values():
            self.offer_blend(job)

    def offer_blend(self, job: Job) -> bool:
        blend = job.blend
        if job.status != "running" or not self.may_go_out(job):
            return False
        others = (stage for stage in job.stages if stage is not blend)
        if blend.status != "pending" or blend.waits or any(s.status != "succeeded" for s in others):
            return False
        if self.artifacts[blend.key] == "ready":
            blend.status = "succeeded"
            self.settle(job)
            return True
        return self.served and self.dispatch(blend)

    def may_go_out(self, job: Job) -> bool:
        held = self.paused or job.paused or job.batch in self.paused_batches
        return not (job.over or job.cancel or held or job.too_late)

    def candidates(self) -> set[int]:
        """Jobs that have something to hand out or to reuse."""
        able = [job for job in self.jobs.values() if self.served and self.may_go_out(job)]
        return {job.id for job in able if any(self._ready_to_go(stage) for stage in job.stages)}

    def _ready_to_go(self, stage: Stage) -> bool:
        if stage.kind == "blend" or stage.status != "pending" or stage.waits:
            return False
        if self.artifacts[stage.key] == "ready":
            return True
        gate = stage.kind == "target" or all(
            target.status == "succeeded" for target in stage.job.of("target")
        )
        needs = all(self.artifacts[need] == "ready" for need in stage.needs)
        return self.artifacts[stage.key] == "missing" and gate and needs

    def fill(self, order: Iterable[int]) -> None:
        """Hands out all that may go, job by job in the order that was observed."""
        able = self.candidates()
        seen = [job_id for job_id in order if job_id in able]
        for job_id in [*seen, *sorted(able - set(seen))]:
            self._hand_out(self.jobs[job_id])

    def _hand_out(self, job: Job) -> None:
        reused = self.reuse(job.stages)
        sent = [self.dispatch(target) for target in job.of("target") if self._free(target)]
        if all(target.status == "succeeded" for target in job.of("target")):
            header = [self.dispatch(stage) for stage in self._header(job) if self._free(stage)]
            job.chord += any(header)
            sent += header
        if reused or any(sent):
            job.status = "running"
            self.settle(job)
        if reused and not any(sent):
            self.offer_blend(job)

    def _header(self, job: Job) -> list[Stage]:
        """What may go in a chord: a portrait's reconstruct with its aligns behind it."""
        found = []
        for first in job.of("reconstruct"):
            if first.status == "succeeded" or self._free(first):
                aligns = [s for s in job.of("align") if s.portrait == first.portrait]
                found += [first, *aligns]
        return found

    def _free(self, stage: Stage) -> bool:
        missing = self.artifacts[stage.key] == "missing"
        return stage.status == "pending" and not stage.waits and missing

    def dispatch(self, stage: Stage) -> bool:
        if self.artifacts[stage.key] != "missing":
            return False
        self.artifacts[stage.key], self.builders[stage.key] = "building", stage.id
        stage.status, stage.stale, stage.waits = "dispatched", False, False
        stage.generation += 1
        self.decided.append((stage.id, stage.generation))
        return True

    def collect(self) -> None:
        """Everything that nobody needs is old enough to go."""
        results = {job.blend.key for job in self.jobs.values() if job.status == "succeeded"}
        for key, status in self.artifacts.items():
            using = [stage.job.status for stage in self.stages.values() if stage.key == key]
            idle = all(status in ("succeeded", "cancelled") for status in using)
            spare = self.kinds[key] in ("reconstruct", "align") and idle
            if status == "ready" and key not in results and (spare or not using):
                self.artifacts[key] = "missing"

    # -- what follows from a change

    def reuse(self, stages: Iterable[Stage]) -> bool:
        found = False
        for stage in stages:
            ready = self.artifacts[stage.key] == "ready"
            if stage.status == "pending" and stage.kind != "blend" and ready:
                stage.status, stage.waits, found = "succeeded", False, True
        return found

    def release(self, stage: Stage) -> None:
        if self.builders.get(stage.key) == stage.id:
            self.artifacts[stage.key] = "missing"
            self.builders.pop(stage.key)

    def reopen(self, job: Job) -> None:
        for stage in job.stages:
            if stage.status == "succeeded" and self.artifacts[stage.key] != "ready":
                stage.status = "pending"

    def _recall(self, job: Job, key: str) -> None:
        for stage in job.stages:
            if stage.status == "dispatched" and key in stage.needs:
                stage.status = "pending"
                self.release(stage)

    def _set_back(self, stage: Stage) -> None:
        self.release(stage)
        self._recall(stage.job, stage.key)
        self.settle(stage.job)

    def settle(self, job: Job) -> None:
        """A job ends when nothing of it is out and nothing of it can go out any more."""
        if job.over or any(stage.status in OUT for stage in job.stages):
            return
        if job.cancel:
            job.status = "cancelled"
        elif all(stage.status == "succeeded" for stage in job.stages):
            job.status = "succeeded"
        elif all(self._doomed(stage) for stage in job.stages if stage.status == "pending"):
            job.status = "failed"

    def _doomed(self, stage: Stage) -> bool:
        """Whether something that a stage cannot do without has failed for good."""
        if stage.status in ("failed", "cancelled"):
            return True
        if stage.status != "pending" or stage.kind == "target":
            return False
        before = [s for s in stage.job.stages if s.key in stage.needs or s.kind == "target"]
        return any(self._doomed(other) for other in before if other is not stage)

"""The moments at which queues go wrong, as short sequences of the machine's transitions.

Chance alone seldom brings them about: a worker goes on after its stage was given to another, a
message comes after a newer one, a stage is claimed when its job is doomed. Every step is compared.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from barber.catalogue import dispatch, rework
from barber.catalogue.stages import Claim
from barber.plan import StageKind
from tests.model.machine import MOST_JOBS, PICK, Transitions, rule
from tests.model.reference import MAX_ERRORS, MAX_LOSSES, Job, Stage
from tests.support.builders import Message, hair_spec

HELD_BACK = ("job", "batch", "all")
AFTERWARDS = st.sampled_from(["beat", "finish", "fail", "fail for good", "return"])


class CatalogueMachine(Transitions):
    """All that happens to a catalogue, with what goes wrong more often than in life."""

    # -- what there is to choose from

    def fresh(self, *, ready: bool = True) -> list[Message]:
        """Messages that count; and whose needs are ready, or are not."""
        current = {
            (m["stage_id"], m["generation"]): m
            for m in self.messages
            if self._counts(m["stage_id"], m["generation"])
        }
        return [m for m in current.values() if self._needs_ready(m["stage_id"]) is ready]

    def _counts(self, stage_id: int, generation: int) -> bool:
        stage = self.model.stages[stage_id]
        return stage.status == "dispatched" and stage.generation == generation

    def _needs_ready(self, stage_id: int) -> bool:
        needs = self.model.stages[stage_id].needs
        return all(self.model.artifacts[need] == "ready" for need in needs)

    def held(self) -> list[Claim]:
        return [c for c in self.claims if self.model.holds(c.stage_id, c.token)]

    def a_message(self, pick: int) -> Message | None:
        """One that counts; when none is out, and now and then, some job is brought further."""
        if pick % 5 == 0 or not self.fresh():
            self._go_on(self._open(pick), pick // 7 % 4)
        fresh = self.fresh()
        return fresh[pick % len(fresh)] if fresh else None

    def _go_on(self, job: Job, rounds: int) -> None:
        self.ease(job)
        for _ in range(rounds):
            self.fill()
            for claim in self.take_all(s for s in job.stages if s.kind != "blend"):
                self._end(claim, "finish")
        self.fill()
        self.sweep()
        self.publish()
        self.agrees()

    def a_claim(self, pick: int) -> Claim | None:
        """One that holds, of a worker that is at it."""
        held = self.held()
        if held:
            return held[pick % len(held)]
        message = self.a_message(pick)
        return self._take(message) if message else None

    def _open(self, pick: int) -> Job:
        """A job that goes on; one that has ended runs again if it must."""
        found = [job for job in self.model.jobs.values() if not job.over]
        if not found:
            job = self.job(pick)
            kind = list(StageKind)[pick % len(StageKind)]
            again = self.refused(lambda s: rework.run_from(s, job.id, kind, by="ann"))
            assert self.model.run_from(job, kind) is not again
            found = [job]
        return found[pick % len(found)]

    def zombies(self) -> list[Claim]:
        """Claims whose stage is somebody else's by now."""
        running = {s.id for s in self.model.stages.values() if s.status == "running"}
        held = {(c.stage_id, c.token) for c in self.held()}
        others = [c for c in self.claims if c.stage_id in running]
        return [c for c in others if (c.stage_id, c.token) not in held]

    def follow(self, stage: Stage) -> Message | None:
        """Hands out what may go; returns the newest message of the stage if it counts."""
        self.fill()
        if stage.kind == "blend":
            self.sweep()
            self.publish()
        mine = (m for m in self.fresh() if m["stage_id"] == stage.id)
        return next(mine, None)

    def take_all(self, stages: Iterable[Stage]) -> list[Claim]:
        """Claims of what is out of these."""
        wanted = {stage.id for stage in stages}
        taken = [self._take(m) for m in self.fresh() if m["stage_id"] in wanted]
        return [claim for claim in taken if claim is not None]

    def act(self, claim: Claim, what: str) -> None:
        if what == "beat":
            self._beat(claim)
        else:
            self._end(claim, what)
        self.agrees()

    # -- workers that hold a stage

    @rule(pick=PICK)
    def claim(self, pick: int) -> None:
        message = self.a_message(pick)
        if message:
            self._take(message)
            if pick % 3 == 0:
                self._take(message)  # doubled

    @rule(pick=PICK, what=AFTERWARDS)
    def holder_acts(self, pick: int, what: str) -> None:
        claim = self.a_claim(pick)
        if claim:
            self.act(claim, what)

    @rule(pick=PICK, again=st.booleans())
    def beats_at_the_last_moment(self, pick: int, again: bool) -> None:
        """The lease has run out and nobody has noticed: the stage is the worker's still."""
        claim = self.a_claim(pick)
        if claim is None:
            return
        self._end_lease(self.model.stages[claim.stage_id])
        self._beat(claim)
        self.agrees()
        self.reap()
        self.agrees()
        if again:
            self._beat(claim)

    @precondition(lambda self: self.zombies())
    @rule(pick=PICK, what=AFTERWARDS)
    def zombie_acts(self, pick: int, what: str) -> None:
        zombies = self.zombies()
        self.act(zombies[pick % len(zombies)], what)

    @rule(pick=PICK, what=AFTERWARDS, eased=st.booleans(), times=st.integers(1, MAX_LOSSES))
    def worker_is_lost_and_returns(self, pick: int, what: str, eased: bool, times: int) -> None:
        """Its stage is lost, handed out again and taken by another; then the first one acts."""
        claim = self.a_claim(pick)
        for _ in range(times):
            if claim is not None:
                claim = self._lose(claim, what, eased=eased)

    def _lose(self, first: Claim, what: str, *, eased: bool) -> Claim | None:
        """Returns the claim of whoever has the stage afterwards."""
        stage = self.model.stages[first.stage_id]
        self._end_lease(stage)
        self.reap()
        self.agrees()
        self.follow(stage)  # too soon, mostly
        self.agrees()
        if eased:
            self.ease(stage.job)
        message = self.follow(stage)
        second = self._take(message) if message else None
        self.act(first, what)
        return second

    @rule(pick=PICK, times=st.integers(1, MAX_ERRORS), final=st.booleans())
    def stage_fails_again_and_again(self, pick: int, times: int, final: bool) -> None:
        claim = self.a_claim(pick)
        for number in range(times):
            if claim is None:
                return
            stage = self.model.stages[claim.stage_id]
            self.act(claim, "fail for good" if final and number == times - 1 else "fail")
            self.follow(stage)  # too soon, mostly
            self.agrees()
            self.ease(stage.job)
            message = self.follow(stage)
            claim = self._take(message) if message else None

    @rule(pick=PICK, what=st.sampled_from(["fail for good", "cancel", "deadline"]), late=PICK)
    def job_ends_badly_and_is_retried(self, pick: int, what: str, late: int) -> None:
        """And what others need of it stays theirs."""
        job = self._open(pick)
        self.ease(job)
        self.fill()
        claims = self.take_all(job.stages)
        if what == "fail for good":
            for claim in claims:
                self.act(claim, what)
        else:
            self.doom(job, what)
            self.expire()
        self.agrees()
        self.fill()
        for claim in claims:
            self.act(claim, ["beat", "return", "fail", "finish"][late % 4])
        self._retry(job)
        self.agrees()
        self.fill()

    # -- messages that come at the wrong moment

    @rule(pick=PICK, another=st.booleans())
    def message_comes_after_a_newer_one(self, pick: int, another: bool) -> None:
        message = self.a_message(pick)
        if message is None:
            return
        stage = self.model.stages[message["stage_id"]]
        self._age(stage)
        self.resend()
        self.agrees()
        newer = self.follow(stage)
        if another:
            self.decline(message)
        self._take(message)
        self.agrees()
        if newer:
            self._take(newer)

    @rule(pick=PICK, last=st.booleans())
    def message_comes_before_its_needs(self, pick: int, last: bool) -> None:
        if not self.fresh(ready=False) and len(self.model.jobs) < MOST_JOBS:
            strangers = self.people[3 + 2 * len(self.model.jobs) :]  # nothing of them is there
            self._submit([hair_spec(*strangers[:2])], pick, due=False, batch=True)
            newest = list(self.model.jobs.values())[-1]
            self._go_on(newest, len(newest.of("target")))
        early = self.fresh(ready=False)
        if early:
            self._take(early[-1 if last else pick % len(early)])

    @rule(pick=PICK)
    def message_comes_to_another_bundles_worker(self, pick: int) -> None:
        message = self.a_message(pick)
        if message is None:
            return
        self.decline(message)
        self.agrees()
        self.follow(self.model.stages[message["stage_id"]])  # too soon

    # -- jobs that are doomed

    def doom(self, job: Job, how: str) -> None:
        if how == "cancel":
            if not job.over:
                self.cancel(self.place(job))
        elif how == "deadline":
            if not job.over and not job.deadline:
                self.set_deadline(self.place(job), some=True)
            self._pass_deadline(job)
        else:
            self.pause(self.place(job), how, paused=True)

    @rule(pick=PICK, how=st.sampled_from(["cancel", "deadline", "deadline", *HELD_BACK]))
    def claim_of_a_doomed_job(self, pick: int, how: str) -> None:
        message = self.a_message(pick)
        if message is None:
            return
        self.doom(self.model.stages[message["stage_id"]].job, how)
        self.agrees()
        self._take(message)
        self.agrees()
        if how == "deadline":
            self.expire()

    @rule(
        pick=PICK,
        how=st.sampled_from(["cancel", "deadline"]),
        what=st.sampled_from(["lose", "return", "finish", "fail", "fail for good"]),
    )
    def holder_hears_of_the_end(self, pick: int, how: str, what: str) -> None:
        claim = self.a_claim(pick)
        if claim is None:
            return
        stage = self.model.stages[claim.stage_id]
        self.doom(stage.job, how)
        self._beat(claim)
        self.agrees()
        if what == "lose":
            self._end_lease(stage)
            self.reap()
        else:
            self._end(claim, what)

    @precondition(lambda self: self.model.candidates())
    @rule(pick=PICK, what=st.sampled_from(HELD_BACK))
    def fill_while_held_back(self, pick: int, what: str) -> None:
        able = sorted(self.model.candidates())
        job = self.model.jobs[able[pick % len(able)]]
        self.pause(self.place(job), what, paused=True)
        self.fill()
        self.agrees()
        self.pause(self.place(job), what, paused=False)
        self.fill()

    @rule(pick=PICK, rounds=st.integers(1, 4), what=st.sampled_from([*HELD_BACK, ""]))
    def chord_rings(self, pick: int, rounds: int, what: str) -> None:
        """All but a job's blend is done, and its fan-in comes; perhaps while it is held back."""
        job = self._open(pick)
        self.ease(job)
        for _ in range(rounds):
            self.fill()
            for claim in self.take_all(s for s in job.stages if s.kind != "blend"):
                self._end(claim, "finish")
        self.agrees()
        if what:
            self.pause(self.place(job), what, paused=True)
        for twin in [other for other in self.model.jobs.values() if other.spec == job.spec]:
            self._ring(twin)

    def _ring(self, job: Job) -> None:
        done = self.do(lambda s: dispatch.offer_blend(s, job.id, job.chord))
        assert self.model.offer_blend(job) is done
        self.receive()
        self.agrees()

    @rule(pick=PICK)
    def what_is_needed_is_damaged(self, pick: int) -> None:
        self.a_message(pick)
        needed = self._needed()
        if needed:
            self._damage(needed[pick % len(needed)])
            self.agrees()
            self.fill()

    def _needed(self) -> list[str]:
        """Ready artifacts that something needs which is out."""
        out = (s for s in self.model.stages.values() if s.status == "dispatched")
        needs = {need for stage in out for need in stage.needs}
        return sorted(need for need in needs if self.model.artifacts[need] == "ready")

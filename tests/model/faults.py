"""Faults that a tired programmer could make in the catalogue, each as a change of its text.

Left out is what nobody could notice. A claim also asks whether its job runs and is not cancelled:
whoever cancels or ends a job takes back, in the same transaction, what was handed out of it, so
that the claim finds its stage gone without that question.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """In modules of the catalogue each `before`, wherever it stands, becomes `after`."""

    name: str
    says: str
    changes: tuple[tuple[str, str, str], ...]  # (module, before, after)

    @property
    def modules(self) -> set[str]:
        return {module for module, _, _ in self.changes}

    def planted(self, module: str, source: str) -> str:
        """The module's text with the fault in it."""
        for _, before, after in (change for change in self.changes if change[0] == module):
            assert before in source, f"{self.name}: {module}.py no longer has {before!r}"
            source = source.replace(before, after)
        return source


def _fault(name: str, says: str, module: str, *changes: tuple[str, str]) -> Fault:
    return Fault(name, says, tuple((module, *change) for change in changes))


FAULTS = (
    _fault(
        "old-message",
        "a claim does not look at the generation",
        "claims",
        ("Stage.generation == generation,", ""),
    ),
    _fault(
        "early-message",
        "a claim does not look whether the needs are ready",
        "claims",
        ("~_unready_need(),", ""),
        ("    if found.unready:\n", "    if False:\n"),
    ),
    _fault(
        "late-claim",
        "a claim does not look at the deadline",
        "claims",
        ("func.coalesce(Job.deadline > func.now(), True),", ""),
    ),
    _fault(
        "doubled-message",
        "a claim does not look whether the stage is still to be had",
        "claims",
        ("            Stage.status == StageStatus.DISPATCHED,\n", ""),
    ),
    _fault(
        "short-decline",
        "a declined stage does not wait",
        "claims",
        ("not_before=flow.in_seconds(DECLINE_S)", "not_before=None"),
    ),
    _fault(
        "no-fence",
        "a worker's calls do not look at the token",
        "stages",
        ("        Stage.token == claim.token,\n", ""),
    ),
    _fault(
        "no-fence-heartbeat",
        "a heartbeat does not look at the token",
        "stages",
        (
            "*_held_by(claim), Job.id",
            "Stage.id == claim.stage_id, Stage.status == StageStatus.RUNNING, Job.id",
        ),
    ),
    _fault(
        "deaf-heartbeat",
        "a heartbeat does not hear of a cancel",
        "stages",
        ("    if row.cancelled:", "    if False:"),
    ),
    _fault(
        "heartbeat-past-deadline",
        "a heartbeat does not hear of the deadline",
        "stages",
        ("_expired().label(", "(Job.id < 0).label("),
    ),
    _fault(
        "lease-not-renewed",
        "a heartbeat does not renew the lease",
        "stages",
        ("            lease_until=flow.in_seconds(lease_s),\n", "            progress=0.5,\n"),
        ('        "progress": None if', '        "note": None if'),
    ),
    _fault(
        "forgotten-siblings",
        "a finish forgets other jobs that wait for the artifact",
        "stages",
        ("waiting = _waiting_jobs(session, claim)", "waiting: list[int] = []"),
    ),
    _fault(
        "siblings-not-offered",
        "a finish does not offer the blends of other jobs",
        "stages",
        ("        flow.offer_blend(session, job_id, 0)\n", ""),
    ),
    _fault(
        "finish-not-settled",
        "a finish does not look whether the job has ended",
        "stages",
        ("    flow.settle(session, claim.job_id)\n    if waiting", "    if waiting"),
    ),
    _fault(
        "no-backoff",
        "an error leads to no wait",
        "stages",
        (
            "due = flow.backoff(backoff_s, errors) if status is StageStatus.PENDING else None",
            "due = None",
        ),
    ),
    _fault(
        "one-error-more",
        "the budget of errors is one too large",
        "stages",
        ("errors >= held.max_errors", "errors > held.max_errors"),
    ),
    _fault(
        "losses-not-counted",
        "an expired lease is not counted as a loss",
        "dispatch",
        ("losses = stage.losses + 1", "losses = stage.losses"),
    ),
    _fault(
        "loss-revives-cancelled",
        "an expired lease forgets that the job is cancelled",
        "dispatch",
        (
            "    if job.cancel_requested:\n        status = StageStatus.CANCELLED\n    elif",
            "    if",
        ),
    ),
    _fault(
        "resend-keeps-artifact",
        "a stage taken back still counts as the builder",
        "dispatch",
        (
            "    flow.set_back(session, row.job_id, row.id, row.key)\n    return 1\n\n\ndef _grace",
            "    return 1\n\n\ndef _grace",
        ),
    ),
    Fault(
        "deaf-fill",
        "the fill does not look at the pause of a job or batch",
        (
            ("turns", "NOT job.paused AND ", ""),
            ("turns", "WHERE NOT batch.paused", ""),
            ("turns", "NOT batch.paused AND ", ""),
            ("dispatch", "job.held_back or ", ""),
        ),
    ),
    _fault(
        "chord-not-counted",
        "a chord does not raise the job's generation",
        "dispatch",
        (".values(generation=Job.generation + 1)", ".values(generation=Job.generation)"),
    ),
    _fault(
        "chord-not-sent",
        "a chord is decided and its message forgotten",
        "dispatch",
        ('    outbox.add(session, outbox.Topic.CHORD, {**payload, "bundle": job.bundle})\n', ""),
    ),
    _fault(
        "early-blend",
        "a blend is offered before all else has succeeded",
        "flow",
        ("            Stage.ready_at.is_not(None),\n", ""),
    ),
    _fault(
        "blend-before-targets",
        "a blend is thought ready when its alignments are",
        "flow",
        ("for s in stages if s.id != blend.id)", "for s in stages if s.kind == StageKind.ALIGN)"),
    ),
    _fault(
        "deaf-offer",
        "a blend goes out of a paused job",
        "flow",
        ("job.cancel_requested or job.held_back or", "job.cancel_requested or"),
    ),
    _fault(
        "two-builders",
        "a stage builds what another is building",
        "flow",
        (
            "Artifact.key == stage.key, Artifact.status == ArtifactStatus.MISSING",
            "Artifact.key == stage.key, Artifact.status != ArtifactStatus.READY",
        ),
    ),
    _fault(
        "same-generation",
        "a stage goes out again under its old generation",
        "flow",
        ("        generation=Stage.generation + 1,\n", ""),
    ),
    _fault(
        "no-recall",
        "what follows a stage that was set back stays out",
        "flow",
        ("    recall(session, [job_id], key)\n", ""),
    ),
    _fault(
        "no-release",
        "a stage that was set back still counts as the builder",
        "flow",
        ("    release(session, [stage_id])\n", ""),
    ),
    _fault(
        "cancel-leaves-pending",
        "a cancel leaves what was not handed out",
        "operate",
        (
            "Stage.status.in_([StageStatus.PENDING, StageStatus.DISPATCHED])",
            "Stage.status == StageStatus.DISPATCHED",
        ),
    ),
    _fault(
        "cancel-keeps-artifact",
        "a cancelled stage still counts as the builder",
        "operate",
        ("    flow.release(session, [row.id for row in moved])\n", ""),
    ),
    _fault(
        "retry-of-all",
        "a retry sets back what has succeeded",
        "rework",
        (
            "failed = Stage.status == StageStatus.FAILED",
            "failed = Stage.status.in_([StageStatus.FAILED, StageStatus.SUCCEEDED])",
        ),
    ),
    _fault(
        "retry-with-old-budget",
        "a retry does not give fresh budgets",
        "rework",
        (
            "Stage.job_id == job_id, waits_for_nobody, **FRESH",
            "Stage.job_id == job_id, waits_for_nobody",
        ),
    ),
    _fault(
        "retry-keeps-deadline",
        "a retry keeps a deadline that has passed",
        "rework",
        ("case((Job.deadline > func.now(), Job.deadline))", "Job.deadline"),
    ),
    _fault(
        "forget-shared",
        "running again from a stage takes from other jobs what they have",
        "rework",
        ("            ~shared.exists(),\n", ""),
    ),
    _fault(
        "still-ready",
        "a damaged artifact stays ready",
        "files",
        (
            ".values(status=ArtifactStatus.MISSING, ready_at=None, recipe=None)",
            ".values(recipe=None)",
        ),
    ),
    _fault(
        "damage-not-followed",
        "what needs a damaged artifact stays out",
        "files",
        ("        flow.recall(session, [job_id], key)\n", ""),
    ),
    _fault(
        "deadline-of-nobody",
        "what waits past its deadline is left alone",
        "deadlines",
        ("or job.cancel_requested or not job.expired", "or job.cancel_requested or job.expired"),
    ),
    _fault(
        "deadline-keeps-artifact",
        "a stage that was too late still counts as the builder",
        "deadlines",
        ("    flow.release(session, [row.id for row in moved])\n", ""),
    ),
    _fault(
        "greedy-collector",
        "what open jobs need is deleted",
        "garbage",
        (", ~wanted.exists()))", "))"),
    ),
    _fault(
        "files-stay",
        "what is deleted keeps its files' rows",
        "garbage",
        ("ArtifactFile.artifact_key.in_(gone)", "ArtifactFile.artifact_key.in_([])"),
    ),
    _fault(
        "message-doubled",
        "a message is put into the outbox twice",
        "outbox",
        (
            "values(topic=topic, payload=dict(payload)))",
            "values([{'topic': topic, 'payload': dict(payload)}] * 2))",
        ),
    ),
)

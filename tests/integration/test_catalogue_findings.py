"""What pre-flight found is kept with the job and counted over its batch."""

import pytest
from sqlalchemy import Engine

from barber.catalogue import findings, jobs
from barber.catalogue.db import transaction
from barber.catalogue.jobs import NewJob
from barber.preflight.findings import Check, Finding, Verdict
from tests.support.builders import hair_spec, known_portraits, submit

pytestmark = pytest.mark.integration


def finding(check: Check, verdict: Verdict) -> Finding:
    return Finding(check=check, verdict=verdict, sentence=f"{check}: {verdict}", number=0.5)


def test_findings_are_kept_with_the_job_and_counted_by_check(engine: Engine) -> None:
    people = known_portraits(engine, 3)
    blur, pose = finding(Check.BLUR, Verdict.WARN), finding(Check.POSE, Verdict.WARN)
    unknown = finding(Check.REGION, Verdict.NOT_CHECKED)
    found = [(blur, blur, pose), (blur, unknown), (unknown,), ()]
    with transaction(engine) as session:
        batch_id = jobs.submit(
            session,
            name="night",
            bundle_name="tiny",
            jobs=[
                NewJob(
                    name=f"job-{n}",
                    spec=hair_spec(people[0], people[1], seed=n),
                    findings=tuple(each.to_json() for each in some),
                )
                for n, some in enumerate(found)
            ],
        )
    submit(engine, [hair_spec(people[1], people[2])])  # of another batch, and without any
    with transaction(engine) as session:
        rows = list(reversed(jobs.jobs(session, batch_id=batch_id)))
        kept = [jobs.job(session, row.id).findings for row in rows]
        assert findings.warned(session, batch_id) == 2
        assert findings.warnings_by_check(session, batch_id) == {"blur": 2, "pose": 1}
        assert findings.warned(session, batch_id + 1) == 0
        assert findings.warnings_by_check(session, batch_id + 1) == {}
    assert [row.warnings for row in rows] == [3, 1, 0, 0]
    assert [tuple(map(Finding.from_json, some)) for some in kept] == found

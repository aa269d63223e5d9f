"""The one log format."""

import logging

from workers.logs import FactsFormatter


def test_facts_follow_the_message():
    record = logging.LogRecord("workers.bench", logging.INFO, "", 1, "stage begins", (), None)
    record.__dict__.update(job_id=4, stage="align")

    assert (
        FactsFormatter()
        .format(record)
        .endswith("INFO workers.bench: stage begins job_id=4 stage=align")
    )

"""One log format for every process of the queue: a line of text, then the facts."""

from __future__ import annotations

import logging
import sys

FACTS = ("worker", "job_id", "stage_id", "stage", "token", "step", "seconds", "rows", "reason")


class FactsFormatter(logging.Formatter):
    """`time level logger: message key=value ..`, from the record's `extra`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        facts = [f"{name}={record.__dict__[name]}" for name in FACTS if name in record.__dict__]
        return " ".join([super().formatMessage(record), *facts])


def configure_logging() -> None:
    """Sends our own lines from INFO and the libraries' from WARNING up to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FactsFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("barber", "workers"):
        logging.getLogger(name).setLevel(logging.INFO)
    # A worker tells of its stages itself, with their ids.
    logging.getLogger("barber.pipeline").setLevel(logging.WARNING)
    # A chord whose header lost its worker is nothing to report: the dispatcher's sweep knows.
    logging.getLogger("celery.app.builtins").setLevel(logging.CRITICAL)

"""A worker's row of the catalogue: whose it is, and who writes it last."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import Engine

from barber.catalogue import workers
from barber.catalogue.db import transaction
from barber.catalogue.status import WorkerStatus
from barber.catalogue.workers import Process, WorkerRow
from workers.runtime import Runtime

pytestmark = pytest.mark.integration


def runtime(engine: Engine, pid: int) -> Runtime:
    return Runtime(
        name="w",
        queues=["cpu"],
        device="none",
        versions={},
        warm_up_s=0.1,
        alive_s=30,
        engine=engine,
        bench=None,
        me=Process("host", pid),
    )


def show(engine: Engine, one: Runtime, listed: bool = True) -> WorkerRow:
    with transaction(engine) as session:
        one._show(session, listed)
    return row(engine)


def row(engine: Engine) -> WorkerRow:
    with transaction(engine) as session:
        (found,) = workers.listed(session)
    return found


def test_nothing_is_written_after_the_last_word(engine: Engine) -> None:
    one = runtime(engine, 1)
    assert show(engine, one, listed=False).status is WorkerStatus.READY
    one.leave()
    one.show_presence(0.01)
    assert row(engine).status is WorkerStatus.STOPPED


def test_a_successor_is_not_marked_as_stopped_by_the_one_before(engine: Engine) -> None:
    old, new = runtime(engine, 1), runtime(engine, 2)
    show(engine, old, listed=False)
    assert show(engine, new, listed=False).pid == 2
    old.leave()
    assert row(engine).status is WorkerStatus.READY
    new.leave()
    assert row(engine).status is WorkerStatus.STOPPED


def test_two_workers_of_one_name_do_not_take_turns(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = runtime(engine, 1), runtime(engine, 2)
    show(engine, one, listed=False)
    show(engine, other, listed=False)
    with caplog.at_level(logging.ERROR):
        assert show(engine, one).pid == 2
    assert "another worker is called w too (process 2 on host)" in caplog.text
    other.leave()
    assert show(engine, one).pid == 1, "the name is free again"

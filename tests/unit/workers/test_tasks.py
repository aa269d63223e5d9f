"""The tasks' door: ids in, a small answer out, never an exception."""

import pytest

from workers import tasks
from workers.tasks import _answer


@pytest.mark.parametrize("bad", [-1, 2**63, "5", 5.0, True, None, [5]])
def test_anything_but_an_id_is_refused(bad, monkeypatch):
    told = []
    monkeypatch.setattr(tasks, "refuse", lambda *words: told.append(words))

    def work(*_):
        pytest.fail("the work was done")

    assert _answer(work, (bad, 1), {}) == {"error": 1}
    assert _answer(work, (1, bad), {}) == {"error": 1}
    assert _answer(work, (1, 2, 3), {}) == {"error": 1}
    assert _answer(work, (1, 2), {"run": "rm"}) == {"error": 1}
    assert len(told) == 4
    assert repr((bad, 1)) in told[0][1]


def test_answer_tells_whether_it_went_well():
    assert _answer(lambda a, b: (a, b) == (3, 4), (3, 4), {}) == {"error": 0}
    assert _answer(lambda a, b: False, (3, 4), {}) == {"error": 1}


def test_no_exception_reaches_celery(caplog):
    def work(*_):
        raise OSError("the database is away")

    assert _answer(work, (3, 4), {}) == {"error": 1}
    assert "the database is away" in caplog.text

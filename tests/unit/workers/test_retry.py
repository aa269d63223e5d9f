"""The verdict table, error class by error class."""

import re
from pathlib import Path

import pytest
import torch
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from barber import errors
from barber.catalogue import claims, dispatch, flow
from workers import retry
from workers.retry import VERDICTS, Action, judge, sentence

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
STICKY = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("error", "error_class", "action"),
    [
        (errors.InputError("no face"), "input", Action.FAIL),
        (errors.StageError("loss is nan", stage="align"), "stage", Action.FAIL),
        (errors.StageTimeout("too long", stage="align"), "timeout", Action.RETRY),
        (errors.StageHung("no step", stage="align"), "hung", Action.RETRY),
        (errors.CheckpointError("vgg is damaged"), "bundle", Action.HAND_BACK),
        (errors.Cancelled("job 3"), "cancelled", Action.HAND_BACK),
        (errors.StoreError("disk full"), "io", Action.RETRY),
        (OSError(28, "No space left on device"), "io", Action.RETRY),
        (OperationalError("select 1", {}, Exception("gone")), "io", Action.RETRY),
        (InterfaceError("select 1", {}, Exception("closed")), "io", Action.RETRY),
        (MemoryError(), "oom", Action.RETRY),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom", Action.RETRY),
        (torch.AcceleratorError(STICKY), "cuda", Action.RETRY),
        (RuntimeError(STICKY), "cuda", Action.RETRY),
        (RuntimeError("shape mismatch"), "bug", Action.RETRY),
        (IntegrityError("insert", {}, Exception("unique")), "bug", Action.RETRY),
        (KeyError("f"), "bug", Action.RETRY),
    ],
)
def test_error_has_its_verdict(error, error_class, action):
    verdict = judge(error)

    assert (verdict.error_class, verdict.action) == (error_class, action)


def test_every_error_of_ours_has_a_verdict_of_its_own():
    bugs_of_ours = {errors.CatalogueError, errors.Conflict, errors.SettingsError}
    bugs_of_ours |= {errors.Forbidden, errors.LoginRefused, errors.TooManyTries}
    bugs_of_ours |= {errors.ServerAway}  # the command line's, never a stage's
    found = {c for c in vars(errors).values() if isinstance(c, type)}
    kinds = {c for c in found if issubclass(c, errors.BarberError)} - {errors.BarberError}
    for kind in kinds - bugs_of_ours:
        error = kind("x", stage="align") if issubclass(kind, errors.StageError) else kind("x")
        assert judge(error).error_class != "bug", kind


def test_bug_is_tried_twice_and_io_as_often_as_the_budget_allows():
    assert [judge(KeyError()).is_final(n) for n in range(3)] == [False, True, True]
    assert not any(judge(OSError()).is_final(n) for n in range(9))
    assert judge(errors.InputError("no face")).is_final(0)
    timeout = judge(errors.StageTimeout("too long", stage="align"))
    assert [timeout.is_final(n) for n in range(2)] == [False, True]


def test_only_a_broken_context_ends_the_process_and_only_a_broken_bundle_the_worker():
    assert judge(RuntimeError(STICKY)).ends_process
    assert judge(errors.StageHung("x", stage="align")).ends_process
    assert not judge(torch.OutOfMemoryError("x")).ends_process
    assert judge(errors.CheckpointError("x")).ends_worker
    assert not judge(errors.InputError("x")).ends_worker


def test_sentence_is_ours_or_names_the_place():
    assert sentence(errors.InputError("no face was found")) == "no face was found"
    with pytest.raises(KeyError) as caught:
        {}["f"]
    assert sentence(caught.value).startswith("KeyError: 'f' (")
    assert "test_retry.py:" in sentence(caught.value)


def test_page_on_errors_is_the_table():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", PAGE.read_text(), re.M)

    assert rows == [(v.error_class, v.meaning, v.consequence, v.casualty) for v in VERDICTS]


def test_page_on_errors_names_what_the_dispatcher_writes():
    told = re.findall(r"^- `(\w+)`: ", PAGE.read_text(), re.M)

    assert told == [dispatch.LOST, flow.DEADLINE, claims.OTHER_METHOD]


def test_every_verdict_of_the_module_is_listed_once():
    named = [value for value in vars(retry).values() if isinstance(value, retry.Verdict)]

    assert sorted(v.error_class for v in VERDICTS) == sorted({v.error_class for v in named})

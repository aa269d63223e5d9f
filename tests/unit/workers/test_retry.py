"""The verdict table, error class by error class."""

import pytest
import torch
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from barber import errors
from workers.retry import Action, judge, sentence

STICKY = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("error", "error_class", "action"),
    [
        (errors.InputError("no face"), "input", Action.FAIL),
        (errors.StageError("loss is nan", stage="align"), "stage", Action.FAIL),
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
    found = {c for c in vars(errors).values() if isinstance(c, type)}
    kinds = {c for c in found if issubclass(c, errors.BarberError)} - {errors.BarberError}
    for kind in kinds - bugs_of_ours:
        error = kind("x", stage="align") if kind is errors.StageError else kind("x")
        assert judge(error).error_class != "bug", kind


def test_bug_is_tried_twice_and_io_as_often_as_the_budget_allows():
    assert [judge(KeyError()).is_final(n) for n in range(3)] == [False, True, True]
    assert not any(judge(OSError()).is_final(n) for n in range(9))
    assert judge(errors.InputError("no face")).is_final(0)


def test_only_a_broken_context_ends_the_process_and_only_a_broken_bundle_the_worker():
    assert judge(RuntimeError(STICKY)).ends_process
    assert not judge(torch.OutOfMemoryError("x")).ends_process
    assert judge(errors.CheckpointError("x")).ends_worker
    assert not judge(errors.InputError("x")).ends_worker


def test_sentence_is_ours_or_names_the_place():
    assert sentence(errors.InputError("no face was found")) == "no face was found"
    with pytest.raises(KeyError) as caught:
        {}["f"]
    assert sentence(caught.value).startswith("KeyError: 'f' (")
    assert "test_retry.py:" in sentence(caught.value)

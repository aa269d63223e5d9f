import json

import pytest

from barber.errors import InputError
from barber.preflight.findings import (
    FINAL_CHECKS,
    Check,
    Finding,
    Verdict,
    read_allowed,
    worst,
)

BLUR = Finding(
    check=Check.BLUR,
    verdict=Verdict.WARN,
    sentence="a.png is blurred",
    number=0.123456789,
    threshold=0.6,
    unit="fine over coarse detail",
    portrait="a.png",
    allowed=True,
)


def test_finding_goes_through_json_with_a_number_to_be_read() -> None:
    data = json.loads(json.dumps(BLUR.to_json()))
    assert data["number"] == 0.1235
    assert Finding.from_json(data).to_json() == data
    assert (data["check"], data["verdict"], data["allowed"]) == ("blur", "warn", True)


def test_allowed_words_are_checks() -> None:
    assert read_allowed(["blur", "pose", "blur"]) == {Check.BLUR, Check.POSE}


@pytest.mark.parametrize("word", ["blurr", "", "BLUR", *FINAL_CHECKS])
def test_what_cannot_be_allowed_is_said(word: str) -> None:
    with pytest.raises(InputError, match=r"use one of one-face, .*blur"):
        read_allowed([word])


def test_worst_is_the_gravest() -> None:
    assert worst([]) is Verdict.PASS
    passed = Finding(check=Check.BLUR, verdict=Verdict.PASS, sentence="")
    refused = Finding(check=Check.POSE, verdict=Verdict.REFUSE, sentence="")
    assert worst([passed, BLUR]) is Verdict.WARN
    assert worst([refused, passed, BLUR]) is Verdict.REFUSE

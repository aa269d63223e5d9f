"""The form of a job's parameters says what the spec takes."""

import math

import pytest

from barber.errors import InputError
from barber.parameters import changed, parameters
from barber.spec import MAX_NUMBER, BlendParams, StageParams

ALL = parameters(StageParams())


@pytest.mark.parametrize("parameter", ALL, ids=lambda each: each.place)
def test_every_range_is_the_one_that_is_checked(parameter):
    def take(value):
        return StageParams.from_json({parameter.stage: {parameter.name: value}})

    if parameter.kind in ("flag", "choice"):
        for word in parameter.choices:
            assert parameters(take({"true": True, "false": False}.get(word, word)))
        with pytest.raises(InputError, match=parameter.place):
            take("purple")
        return
    take(parameter.least)
    take(parameter.most if parameter.most < MAX_NUMBER else 1e29)
    more = parameter.most + 1 if parameter.most < MAX_NUMBER else math.nextafter(MAX_NUMBER, 1e31)
    for value in (parameter.least - 1, more):
        with pytest.raises(InputError, match=parameter.place):
            take(value)


def test_a_form_sent_back_as_it_was_changes_nothing():
    params = StageParams(blend=BlendParams(steps=17, rate=0.1 + 0.2))
    typed = {each.place: each.text for each in parameters(params)}
    assert changed(params, typed) == {}
    assert changed(params, {**typed, "blend.steps": " 18 ", "align.enabled": "false"}) == {
        "blend": {"steps": 18},
        "align": {"enabled": False},
    }
    assert changed(params, {"blend.steps": ""}) == {}


def test_what_differs_from_the_official_preset_is_marked():
    found = {each.place: each for each in parameters(StageParams(blend=BlendParams(steps=17)))}
    assert found["blend.steps"].is_changed
    assert found["blend.steps"].official == 400
    assert not found["align.rate"].is_changed
    assert found["blend.steps"].range_words == "1 to 1,000,000"
    assert found["align.rate"].range_words == "0 or more"

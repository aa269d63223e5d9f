"""What a job takes from whom, in words."""

from barber.labels import parse_region
from barber.plan import plan
from barber.spec import JobSpec, PortraitKey, RegionEdit
from dashboard.inputs import inputs, stage_words

A, B, C = (PortraitKey(letter * 64) for letter in "abc")


def spec_of(*regions):
    return JobSpec(identity=A, regions=regions, bundle="0" * 64)


def edit(text, structure, appearance):
    area = parse_region(text)
    return RegionEdit(
        labels=area.labels, zone=area.zone, structure=structure, appearance=appearance
    )


def test_regions_are_named_as_people_ask_for_them():
    found = inputs(spec_of(edit("beard", B, B), edit("brows+eyes", C, C), edit("hat+eyes", C, A)))
    assert [i.gives for i in found] == ["identity", "beard", "eyes-and-brows + eyes+hat shape"]


def test_shape_and_colour_of_one_portrait_are_one_word():
    assert [i.gives for i in inputs(spec_of(edit("hair", B, B)))] == ["identity", "hair"]


def test_shape_and_colour_of_two_portraits_are_told_apart():
    found = [(i.portrait, i.gives) for i in inputs(spec_of(edit("hair", B, C)))]
    assert found == [(A, "identity"), (B, "hair shape"), (C, "hair colour")]


def test_a_portrait_that_gives_two_regions_says_both():
    found = inputs(spec_of(edit("hair", B, B), edit("lips", C, B)))
    assert [i.gives for i in found] == ["identity", "hair + lips colour", "lips shape"]


def test_colour_alone_keeps_the_identity_one_input():
    found = inputs(spec_of(edit("hair", A, C)))
    assert [i.gives for i in found] == ["identity", "hair colour"]


def test_every_stage_of_a_plan_with_two_masks_says_what_it_is_about():
    spec = spec_of(edit("hair", B, C))
    words = [(stage.kind.value, stage_words(spec, stage)) for stage in plan(spec)]
    assert words[:2] == [("target", "for the shape"), ("target", "for the colour")]
    assert ("align", "identity, for the shape") in words
    assert ("align", "hair colour, for the colour") in words
    assert words[-1][0] == "blend"
    assert len(set(words)) == len(words)

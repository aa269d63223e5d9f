import pytest

from barber.chaos.rules import ChaosRules
from barber.errors import SettingsError


def test_rules_survive_the_environment() -> None:
    rules = ChaosRules(stage_s=0.5, drop=0.05, double=0.1, error=0.02, seed=7)
    assert ChaosRules.parse(rules.as_text()) == rules


def test_nothing_set_is_no_chaos() -> None:
    assert ChaosRules.parse("") is None


@pytest.mark.parametrize("text", ["dorp=0.1", "drop", "drop=x", "drop=-1", "drop=1.5", "seed=x"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=text.split("=")[0]):
        ChaosRules.parse(text)


def test_the_dice_fall_alike_for_the_same_words_and_as_often_as_asked() -> None:
    rules = ChaosRules(seed=3)
    falls = [rules.falls(0.05, stage, 1, "drop") for stage in range(20_000)]
    assert falls == [rules.falls(0.05, stage, 1, "drop") for stage in range(20_000)]
    assert 0.045 < sum(falls) / len(falls) < 0.055
    again = [rules.falls(0.05, stage, 2, "drop") for stage in range(20_000)]
    assert sum(a and b for a, b in zip(falls, again, strict=True)) < 120, (
        "a resent message may pass"
    )
    assert falls != [ChaosRules(seed=4).falls(0.05, stage, 1, "drop") for stage in range(20_000)]
    assert not any(rules.falls(0.0, n) for n in range(100))
    assert all(rules.falls(1.0, n) for n in range(100))

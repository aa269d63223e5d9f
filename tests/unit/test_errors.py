from __future__ import annotations

from barber.errors import StageError, short_key

ANNA, BOB = "a" * 64, "b" * 64


def test_short_key_tells_portraits_apart() -> None:
    assert short_key(ANNA) == "a" * 12


def test_portraits_are_named_where_the_caller_knows_their_names() -> None:
    message = f"no hair in portrait {short_key(ANNA)}, nor in portrait {short_key(BOB)}"
    error = StageError(message, stage="target", portraits=[ANNA, BOB])
    named = error.naming({ANNA: "anna.png"})
    assert str(named) == "no hair in portrait anna.png (aaaaaaaaaaaa), nor in portrait bbbbbbbbbbbb"
    assert (named.stage, named.portraits) == ("target", (ANNA, BOB))

from datetime import UTC, datetime

import pytest

from dashboard.filters import by_when

NOW = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 11, 22, 23, 5, tzinfo=UTC), ">23:05\xa0UTC<"),
        (datetime(2026, 11, 23, 4, 10, tzinfo=UTC), ">tomorrow 04:10\xa0UTC<"),
        (datetime(2026, 11, 25, 4, 10, tzinfo=UTC), ">Wed 25 Nov 04:10\xa0UTC<"),
    ],
)
def test_a_moment_is_told_as_people_say_it(moment, said):
    assert said in by_when(moment, NOW)

"""Keyset pages."""

import pytest

from barber.errors import InputError
from dashboard.paging import MAX_ID, page_of, place


def below(before):
    ids = [i for i in range(7, 0, -1) if before is None or i < before]
    return lambda limit: ids[:limit]


def test_pages_follow_one_another_without_gap_or_overlap():
    seen, before = [], None
    while True:
        page = page_of(below(before), key=lambda i: i, size=3)
        seen += page.rows
        before = page.next
        if before is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_a_full_last_page_promises_no_further_one():
    assert page_of(below(None), key=lambda i: i, size=7).next is None


def test_an_empty_list_is_a_page():
    assert page_of(lambda limit: [], key=lambda i: i).rows == []


@pytest.mark.parametrize("text", ["x", "-1", "0", "1.5", "٣", str(MAX_ID + 1), "1 or 1=1"])
def test_a_place_that_is_no_id_is_named(text):
    with pytest.raises(InputError, match="is no id"):
        place({"before": text})


@pytest.mark.parametrize("arguments", [{}, {"before": ""}])
def test_no_place_is_the_first_page(arguments):
    assert place(arguments) is None

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from barber.evaluation.cases import Stratum
from barber.evaluation.page import Figure, Grid, Heading, Points, Text, html, markdown
from barber.evaluation.plots import Axis, dots
from barber.evaluation.summary import Metric

BLOCKS = [
    Heading("Title <b>", 1),
    Text("A & B have 5 < 6, a_b"),
    Points(("one", "two | three")),
    Grid(head=("m", "PSNR"), rows=(("full", "22.5"), ("a|b", "1")), stamp="n = 3, seed 0"),
    Figure(file="figures/worst.jpg", alt="the worst", stamp="n = 4"),
]
PSNR = Metric(name="psnr", title="PSNR", higher_is_better=True, digits=2, unit="dB")


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.pictures = "", []

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.pictures += [dict(attrs)["src"]] if tag == "img" else []


def test_html_shows_what_was_written_as_it_was_written() -> None:
    found = Words()
    found.feed(html("Title", BLOCKS))
    for text in ("Title <b>", "A & B have 5 < 6", "two | three", "22.5", "n = 3, seed 0", "n = 4"):
        assert text in found.words
    assert found.pictures == ["figures/worst.jpg"]


def test_markdown_has_every_row_stamp_and_picture() -> None:
    text = markdown(BLOCKS)
    assert "| full | 22.5 |" in text and "| a\\|b | 1 |" in text
    assert "![the worst](figures/worst.jpg)" in text
    assert "n = 3, seed 0" in text and "5 \\< 6" in text


@pytest.mark.parametrize("values", [[0.1, 0.95], [20.0, 31.7], [60.0, 60.0], [-3.0, 2.0]])
def test_axis_holds_every_value_between_round_ticks(values: list[float]) -> None:
    axis = Axis.around(values)
    assert axis.low <= min(values) and axis.high >= max(values)
    assert 2 <= len(axis.ticks()) <= 9
    assert axis.x(axis.low) < axis.x(axis.high)


def test_drawing_has_a_mark_for_every_case_and_a_stamp() -> None:
    values = {
        "full": {Stratum.GROWS: [20.0, 22.0, 25.0], Stratum.SHRINKS: [18.0]},
        "none <left>": {Stratum.GROWS: [], Stratum.SHRINKS: [12.0, 13.0]},
    }
    drawing = dots(PSNR, values, stamp="n = 4, seed 0")
    root = ElementTree.fromstring(drawing)  # valid XML
    paths = [e.get("d", "") for e in root.iter() if e.tag.endswith("path")]
    assert sum(path.count("M") for path in paths) == 6
    words = [e.text for e in root.iter() if e.tag.endswith("text")]
    assert "none <left>" in words and "n = 4, seed 0" in words

"""A report as blocks, and the same blocks as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; level 1 is the page's own."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    points: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: the first column names the rows, the others hold numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    stamp: str  # what the numbers are of: n, seed, preset, bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture beside the page."""

    file: str  # relative to the page
    alt: str
    stamp: str


Block = Heading | Text | Points | Grid | Figure

STYLE = """
:root { color-scheme: light dark; --line: #8884; --pale: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #fcfcfa; }
.stamp, figcaption { color: var(--pale); font-size: .85rem; }
"""


def markdown(blocks: Sequence[Block]) -> str:
    """The page as Markdown."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return _plain(text)
        case Points(points):
            return "\n".join(f"- {_plain(point)}" for point in points)
        case Grid():
            lines = [block.head, ("---", *["---:"] * (len(block.head) - 1)), *block.rows]
            told = ["| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines]
            return "\n".join(told) + f"\n\n<sub>{escape(block.stamp)}</sub>"
        case Figure():
            return f"![{_plain(block.alt)}]({block.file})\n\n<sub>{escape(block.stamp)}</sub>"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(sign, f"\\{sign}")
    return text


def html(title: str, blocks: Sequence[Block]) -> str:
    """The page as one HTML document; its pictures lie beside it."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Points(points):
            return "<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"
        case Grid():
            head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
            rows = "\n".join(_html_row(row) for row in block.rows)
            return (
                f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n'
                f'</tbody></table></div>\n<p class="stamp">{escape(block.stamp)}</p>'
            )
        case Figure():
            file, alt = escape(block.file), escape(block.alt)
            return (
                f'<figure><a href="{file}"><img src="{file}" alt="{alt}"></a>\n'
                f"<figcaption>{escape(block.stamp)}</figcaption></figure>"
            )


def _html_row(row: Sequence[str]) -> str:
    name, *cells = (escape(cell) for cell in row)
    return f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"

"""A live page's fragment, cut into the parts that can be replaced one by one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
ROOT = "live"  # the id of the fragment's root


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a live page shows at one moment."""

    text: str
    root: dict[str, str] = field(default_factory=dict)  # data-* attributes of the root
    parts: dict[str, str] = field(default_factory=dict)  # markup by id, in the order of the page

    @property
    def mark(self) -> str:
        """The same for the same content, in every process."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def event(self) -> bytes:
        """The whole as an event."""
        return _event(self.mark, "whole", {"html": self.text})

    def event_after(self, before: Fragment) -> bytes:
        """What a page that shows `before` must replace."""
        if list(self.parts) != list(before.parts):
            return self.event()
        changed = {name: text for name, text in self.parts.items() if text != before.parts[name]}
        return _event(self.mark, "parts", {"root": self.root, "parts": changed})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Fragment):
    """The same for programs: a JSON document, which is always told whole."""

    def event(self) -> bytes:
        return _event(self.mark, "job", json.loads(self.text))

    def event_after(self, before: Fragment) -> bytes:  # noqa: ARG002 (there are no parts)
        return self.event()


def _event(mark: str, kind: str, data: Any) -> bytes:
    told = json.dumps(data, separators=(",", ":"))
    return f"id: {mark}\nevent: {kind}\ndata: {told}\n\n".encode()


def cut(text: str) -> Fragment:
    """Finds the root's facts and every element with `data-part` in a fragment."""
    reader = _Reader(text)
    reader.feed(text)
    reader.close()
    return Fragment(text=text, root=reader.root, parts=reader.parts)


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._text = text
        self._lines = [0]  # where each line begins
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._depth, self._open = 0, ("", 0, 0)  # of the part under way: id, depth, beginning
        self.root: dict[str, str] = {}
        self.parts: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if facts.get("id") == ROOT:
            data = {name: value for name, value in facts.items() if name.startswith("data-")}
            self.root = {name.removeprefix("data-"): value or "" for name, value in data.items()}
        if "data-part" in facts and not self._open[0]:
            self._open = (facts["id"] or "", self._depth, self._at())
        if tag not in VOID:
            self._depth += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Such as an SVG's path: opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        self._depth -= 1
        name, depth, start = self._open
        if name and depth == self._depth:
            end = self._text.index(">", self._at()) + 1
            self.parts[name] = self._text[start:end]
            self._open = ("", 0, 0)

    def _at(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

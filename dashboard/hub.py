"""Live pages: one poller for each console process, whose findings go to every viewer's stream.

A page is drawn once for all who see it alike, and only when it may have changed; what waits for it
are threads without a query of their own. An event tells the state, not a step towards it: whoever
has missed some gets the whole, so nothing can be lost. Its id is the mark of that state, so another
process, or the same one started again, knows what a returning viewer has.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakSet

from flask import Flask, g
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from barber.catalogue import marks
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from dashboard.access import Visitor
from dashboard.parts import Facts, Fragment, cut

log = logging.getLogger(__name__)

TICK_S: Final = 0.5  # between two looks at the jobs that are watched
STALE_S: Final = 10.0  # a page also shows what no row tells: how long it takes already
BEAT_S: Final = 10.0  # a silent stream says that it lives, and learns whether anybody listens
RECHECK_S: Final = 60.0  # and asks whether its viewer may still look
IDLE_S: Final = 5.0  # a page that nobody watches any more is kept for those who come back
LISTS_S: Final = 0.5  # of each round for pages that are not about one job
SLOW_S: Final = 2.0  # a page whose drawing fails is not tried again before
GONE: Final = b"event: gone\ndata: {}\n\n"
BEAT: Final = b": beat\n\n"
HELLO: Final = b"retry: 2000\n\n"  # how soon a browser comes back, in milliseconds

_hubs: WeakSet[Hub] = WeakSet()  # of this process, so that its end can end their streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A page as everybody of one audience sees it."""

    path: str  # with its query
    role: Role
    owner: int | None
    person: int | None  # None: all people of that role and owner see the same
    job_id: int | None  # the job whose changes it follows; else it is drawn every few seconds


@dataclass(slots=True, kw_only=True)
class Channel:
    """A topic with its latest state; guarded by the hub's lock."""

    topic: Topic
    visitor: Visitor  # one of its audience
    viewers: int = 0
    left_at: float = 0.0  # monotonic; when the last viewer went
    version: int = 0  # +1 for each new state; 0: not drawn yet
    fragment: Fragment | None = None
    news: bytes = b""  # from the version before to this one
    whole: bytes = b""
    is_gone: bool = False  # there is no such page for this audience
    mark: str | None = None
    due_at: float = 0.0
    changed: threading.Condition = field(repr=False)


class Hub:
    """The streams of one application.

    Args:
        app: Draws the pages.
        engine: On the catalogue.
        most: Streams at once.
    """

    def __init__(self, app: Flask, engine: Engine, *, most: int) -> None:
        self._app, self._engine, self.most = app, engine, most
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._channels: dict[Topic, Channel] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self.streams = 0
        _hubs.add(self)

    def join(self, topic: Topic, visitor: Visitor) -> Channel | None:
        """A place at a topic, to be given back with `leave`; None when all are taken."""
        with self._lock:
            if self._closed or self.streams >= self.most:
                return None
            channel = self._channels.get(topic)
            if channel is None:
                waiting = threading.Condition(self._lock)
                channel = Channel(topic=topic, visitor=visitor, changed=waiting)
                self._channels[topic] = channel
            channel.viewers += 1
            self.streams += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()
            self._wake.notify_all()
        return channel

    def leave(self, channel: Channel) -> None:
        """Gives a place back."""
        with self._lock:
            channel.viewers -= 1
            channel.left_at = time.monotonic()
            self.streams -= 1

    def events(
        self, channel: Channel, known: str, is_allowed: Callable[[], bool]
    ) -> Iterator[bytes]:
        """What a viewer is sent, until it goes or the console ends.

        Args:
            channel: Joined; whoever joined leaves it.
            known: The mark of the state that the viewer has; "" for none.
            is_allowed: Whether the viewer may still look; asked now and then.
        """
        yield HELLO
        version, checked_at = 0, time.monotonic()
        while (found := self._next(channel, version, known)) is not None:
            version, told = found
            yield told
            if told is GONE:
                return
            if time.monotonic() - checked_at >= RECHECK_S:
                checked_at = time.monotonic()
                if not is_allowed():
                    yield GONE
                    return

    def _next(self, channel: Channel, version: int, known: str) -> tuple[int, bytes] | None:
        """Waits for what comes after a version; None when the console ends."""
        with self._lock:
            if channel.version == version and not self._closed:
                channel.changed.wait(BEAT_S)
            if self._closed:
                return None
            if channel.is_gone:
                return version, GONE
            if channel.version == version or channel.fragment is None:
                return version, BEAT
            if version == 0 and known == channel.fragment.mark:
                return channel.version, BEAT
            is_next = version > 0 and channel.version == version + 1
            return channel.version, channel.news if is_next else channel.whole

    def close(self) -> None:
        """Ends every stream and the poller."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
            for channel in self._channels.values():
                channel.changed.notify_all()

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            with self._lock:
                self._forget_left(began)
                if not self._channels:
                    self._wake.wait(IDLE_S)
                if self._closed:
                    return
                watched = [channel for channel in self._channels.values() if channel.viewers]
            try:
                self._look(watched)
            except DBAPIError as error:
                log.warning("live pages wait for the catalogue: %s", error.orig)
            except Exception:
                log.exception("live pages met an error; they go on")
            pause = TICK_S - (time.monotonic() - began)
            with self._lock:
                fresh = any(not each.version for each in self._channels.values() if each.viewers)
                if pause > 0 and not fresh and not self._closed:
                    self._wake.wait(pause)

    def _forget_left(self, now: float) -> None:
        left = [
            topic
            for topic, channel in self._channels.items()
            if not channel.viewers and now - channel.left_at > IDLE_S
        ]
        for topic in left:
            del self._channels[topic]

    def _look(self, watched: list[Channel]) -> None:
        """Draws what has changed: jobs, which people wait for, and then lists."""
        jobs = {c.topic.job_id for c in watched if c.topic.job_id is not None}
        with transaction(self._engine) as session:
            found = marks.of_jobs(session, jobs)
        for channel in watched:
            job_id = channel.topic.job_id
            if job_id is None:
                continue
            mark = found.get(job_id, "")
            if channel.due_at <= time.monotonic() or mark != channel.mark:
                channel.mark = mark
                self._draw(channel)
        self._draw_lists([channel for channel in watched if channel.topic.job_id is None])

    def _draw_lists(self, lists: list[Channel]) -> None:
        """Draws those that are due, the longest first, for a while: the others have their turn in
        the next round, so that many filters at once do not keep jobs waiting.
        """
        began = time.monotonic()
        for channel in sorted(lists, key=lambda each: each.due_at):
            if channel.due_at > time.monotonic():
                return
            self._draw(channel)
            if time.monotonic() - began > LISTS_S:
                return

    def _draw(self, channel: Channel) -> None:
        status, fragment = self._page(channel)
        with self._lock:
            before = channel.fragment
            channel.is_gone = 400 <= status < 500
            channel.due_at = time.monotonic() + _pause(channel.topic, fragment)
            if fragment is not None and (before is None or before.text != fragment.text):
                channel.fragment, channel.whole = fragment, fragment.event()
                channel.news = fragment.event_after(before) if before else channel.whole
                channel.version += 1
            elif not channel.is_gone:
                return
            channel.changed.notify_all()

    def _page(self, channel: Channel) -> tuple[int, Fragment | None]:
        """The page as the channel's audience would get it, and its status."""
        with self._app.test_request_context(channel.topic.path, headers={"X-Live": "1"}):
            g.visitor, g.fan_out = channel.visitor, True
            response = self._app.full_dispatch_request()
            text = response.get_data(as_text=True)
        if response.status_code != 200:
            return response.status_code, None
        if response.mimetype == "application/json":
            return 200, Facts(text=text)
        return 200, cut(text)


def _pause(topic: Topic, fragment: Fragment | None) -> float:
    """How long a page may stay as it is when nothing of it is written."""
    if fragment is None:
        return SLOW_S
    if topic.job_id is not None:
        return STALE_S
    return float(fragment.root.get("live") or STALE_S)


def close_all() -> None:
    """Ends the streams of this process, which would keep it from ending."""
    for hub in list(_hubs):
        hub.close()

"""How fast an ingest is and how much is left, from what it tells while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookrag.ingest import Progress

WINDOW = 10.0
"""Seconds over which the rate is taken."""
LONG_WINDOW = 60.0
"""Seconds over which the speed is taken from which the time left follows."""


class _Speed:
    """How fast a number changes, from the moments at which it did: vectors come in hundreds."""

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, float]] = deque([(now, 0.0)])

    def tell(self, now: float, value: float) -> None:
        if value != self._seen[-1][1]:
            self._seen.append((now, value))
            while len(self._seen) > 2 and now - self._seen[1][0] >= LONG_WINDOW:
                self._seen.popleft()

    def over(self, window: float, now: float) -> float:
        *before, (last, value) = self._seen
        if not before:
            return 0.0
        begin, start = next((one for one in reversed(before) if now - one[0] >= window), before[0])
        # What stands still for longer than that has slowed down.
        seconds = max(last - begin, now - last)
        return (value - start) / seconds if seconds > 0 else 0.0


class Meter:
    """Turns what an ingest tells into rates and times; one thread tells, another may ask."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._chunks, self._embedded, self._done = (_Speed(self._began) for _ in range(3))
        self._lock = Lock()
        # Files that were looked at and texts that were embedded when documents were last confirmed.
        self._settled = (0, 0)
        self.latest: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """Take note of the state of a run."""
        now, before = self._clock(), self.latest
        with self._lock:
            self.latest = progress
            if progress.new + progress.changed != (before.new + before.changed if before else 0):
                self._settled = (progress.items, progress.embedded)
            self._chunks.tell(now, progress.chunks)
            self._embedded.tell(now, progress.embedded)
            self._done.tell(now, self.done())

    def rate(self) -> float:
        """Chunks a second over the last seconds: those that are embedded, where something is."""
        progress = self.latest
        embeds = progress is not None and (progress.embedded > 0 or progress.phase == "embed")
        with self._lock:
            return (self._embedded if embeds else self._chunks).over(WINDOW, self._clock())

    def left(self) -> float | None:
        """Seconds until all files are in the index, at the speed of the last minute; None where that cannot be said."""
        progress = self.latest
        if progress is None or not progress.total:
            return None
        with self._lock:
            speed = self._done.over(LONG_WINDOW, self._clock())
        left = max(progress.total - self.done(), 0.0)
        return left / speed if speed > 0 and (left or not progress.pending_bytes) else None

    def done(self) -> float:
        """Files whose documents are settled, and the part of those under way that is embedded."""
        now = self.latest
        if now is None:
            return 0.0
        documents = now.new + now.changed + now.unchanged + now.failed
        # Of files with many documents it is not told where they end: the last may be one of a million lines.
        many = documents > now.items
        looked = max(now.items - 1, 0) if many or now.total == 1 else now.items
        if not (now.pending_bytes or 0 < now.embedded < now.chunks):
            return looked  # nothing is under way
        files, texts = self._settled
        settled = min(files if many else documents, looked)
        waiting = now.chunks - texts
        embedded = min(max(now.embedded - texts, 0) / waiting, 1.0) if waiting > 0 else 0.0
        return settled + (looked - settled) * embedded

    def json(self) -> dict[str, Any]:
        """The state as JSON values."""
        assert self.latest is not None
        left = self.left()
        return asdict(self.latest) | {
            "seconds": round(self.latest.seconds, 3),
            "chunks_per_second": round(self.rate(), 1),
            "seconds_left": None if left is None else round(left, 1),
        }

    def __str__(self) -> str:
        """The state in words, what matters most first."""
        progress = self.latest
        if progress is None:
            return "looking at the files"
        left = self.left()
        facts = [
            _files(progress),
            f"{progress.failed:,} failed" if progress.failed else "",
            f"{_time(left)} left" if left and left >= 0.5 else "",
            f"{_short(self.rate())} chunks/s",
            f"{progress.new + progress.changed:,} indexed",
            f"{progress.unchanged:,} unchanged" if progress.unchanged else "",
            f"{progress.chunks:,} chunks",
            f"{_bytes(progress.pending_bytes)} in flight" if progress.pending_bytes else "",
            f"{_time(self._clock() - self._began)} so far",
        ]
        return ", ".join(fact for fact in facts if fact)


def _files(progress: Progress) -> str:
    of = f"/{progress.total:,}" if progress.total else ""
    return f"{progress.items:,}{of} file{'s' if (progress.total or progress.items) != 1 else ''} read"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}"


def _time(seconds: float) -> str:
    """
    >>> _time(5), _time(65), _time(3700), _time(100_000)
    ('5 s', '1:05 min', '1:01 h', '27:46 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02} h"


def _bytes(size: int) -> str:
    """
    >>> _bytes(900), _bytes(900_000), _bytes(9_000_000)
    ('1 kB', '900 kB', '9.0 MB')
    """
    return f"{max(size / 1e3, 1):,.0f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"

"""How far an ingest is: a bar on a terminal, a line every few seconds in a log, or JSON for a program."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from hookrag.ingest import Progress

Style = Literal["auto", "bar", "lines", "json", "none"]
STYLES: tuple[Style, ...] = ("auto", "bar", "lines", "json", "none")

F = TypeVar("F", bound=Callable[..., Any])

EVERY = 5.0
"""Seconds between two lines of a log."""
JSON_EVERY = 1.0
"""Seconds between two JSON objects."""
WINDOW = 10.0
"""Seconds over which the rate is taken."""
LONG_WINDOW = 60.0
"""Seconds over which the speed is taken from which the time left follows."""

WIDEST, NARROWEST = 24, 4
"""Characters of the bar: it gives way to what there is to say."""


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
        progress = self.latest
        assert progress is not None
        left = self.left()
        return {
            "phase": progress.phase, "items": progress.items, "total": progress.total, "new": progress.new,
            "changed": progress.changed, "unchanged": progress.unchanged, "failed": progress.failed,
            "chunks": progress.chunks, "embedded": progress.embedded, "pending_bytes": progress.pending_bytes,
            "seconds": round(progress.seconds, 3), "chunks_per_second": round(self.rate(), 1),
            "seconds_left": None if left is None else round(left, 1),
        }  # fmt: skip

    def facts(self) -> list[str]:
        """The state in words, what matters most first."""
        progress = self.latest
        if progress is None:
            return ["looking at the files"]
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
        return [fact for fact in facts if fact]


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


class _Bar:
    """A bar of the files that are done where their number is known, then as many facts as fit in the line."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.line(min(options.max_width, _columns(console)), ascii_only=options.ascii_only)

    def line(self, width: int, *, ascii_only: bool = False) -> Text:
        from rich.text import Text

        facts = self._meter.facts()
        told = facts[0]
        progress = self._meter.latest
        bar = max(0, min(WIDEST, width - len(told) - 2)) if progress is not None and progress.total else 0
        room = width - (bar + 1 if bar else 0)
        for fact in facts[1:]:
            more = len(told) + 2 + len(fact) - room
            if 0 < more <= bar - NARROWEST:
                bar, room, more = bar - more, room + more, 0
            if more <= 0:
                told += f", {fact}"
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        if bar and progress is not None:
            full = min(bar, int(bar * self._meter.done() / progress.total))
            text.append(("#" if ascii_only else "━") * full, style="green")
            text.append(("." if ascii_only else "─") * (bar - full), style="dim")
            text.append(" ")
        text.append(told)
        return text


def _columns(console: Console) -> int:
    """How wide the terminal is: rich believes COLUMNS, and a bar that is wider leaves its remains on the screen."""
    try:
        return os.get_terminal_size(console.file.fileno()).columns or console.width
    except (OSError, ValueError):
        return console.width


def progress_option(command: F) -> F:
    """--progress STYLE."""
    return click.option(
        "--progress",
        "style",
        type=click.Choice(STYLES),
        default="auto",
        show_default=True,
        help="How to say how far it is: a bar on a terminal, lines in a log.",
    )(command)


@contextmanager
def showing(style: Style) -> Iterator[Callable[[Progress], None] | None]:
    """A function to hand to an ingest, if it is to tell anything; what it shows goes to standard error."""
    if style == "auto":
        style = "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "lines"
    meter = Meter()
    if style == "bar":
        with _bar(meter):
            yield meter.tell
    elif style == "none":
        yield None
    else:
        every, said = (JSON_EVERY if style == "json" else EVERY), meter.latest
        last = monotonic()

        def line(progress: Progress) -> None:
            nonlocal last
            meter.tell(progress)
            if monotonic() - last >= every:
                last = monotonic()
                write()

        def write() -> None:
            nonlocal said
            said = meter.latest
            click.echo(json.dumps(meter.json()) if style == "json" else ", ".join(meter.facts()), err=True)

        try:
            yield line
        finally:
            if style == "json" and meter.latest is not said:
                write()


@contextmanager
def _bar(meter: Meter) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live

    with Live(_Bar(meter), console=Console(stderr=True), transient=True, refresh_per_second=4) as live:
        try:
            yield
        except BaseException:
            live.transient = meter.latest is None  # how far it came stays above the message
            raise

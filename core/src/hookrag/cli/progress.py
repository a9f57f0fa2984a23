"""How far an ingest is: a bar on a terminal, a line every few seconds in a log, or JSON for a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from hookrag.cli.meter import Meter

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hookrag.ingest import Progress

Style = Literal["auto", "bar", "lines", "json", "none"]
STYLES: tuple[Style, ...] = ("auto", "bar", "lines", "json", "none")

F = TypeVar("F", bound=Callable[..., Any])

EVERY = 5.0
"""Seconds between two lines of a log."""
JSON_EVERY = 1.0
"""Seconds between two JSON objects."""
WIDEST, NARROWEST = 24, 4
"""Characters of the bar."""


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
            click.echo(json.dumps(meter.json()) if style == "json" else str(meter), err=True)

        try:
            yield line
        finally:
            if style == "json" and meter.latest is not said:
                write()


@contextmanager
def _bar(meter: Meter) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(get_renderable=frames(meter, console), console=console, transient=True, refresh_per_second=4) as live:
        try:
            yield
        except BaseException:
            live.transient = meter.latest is None  # how far it came stays above the message
            raise


def frames(meter: Meter, console: Console) -> Callable[[], RenderableType]:
    """A function that gives what a terminal shows now: a bar of the files that are done, then the state, in one line.

    Rates and times are the meter's: those of rich swing, because vectors come in hundreds.
    """
    from rich.constrain import Constrain
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    bar = BarColumn()
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    told = TextColumn("{task.fields[meter]}", markup=False, table_column=rest)
    bars = Progress(bar, told, console=console, expand=True)
    task = bars.add_task("", total=None, meter=meter)

    def frame() -> RenderableType:
        width = max(1, _columns(console) - len("^C"))  # which the terminal writes behind it, and not into the next line
        bar.bar_width = min(WIDEST, max(NARROWEST, width // 8))
        # Where the number of files is not known, the bar pulses.
        bars.update(task, completed=meter.done(), total=(meter.latest and meter.latest.total) or None)
        return Constrain(bars.get_renderable(), width)

    return frame


def _columns(console: Console) -> int:
    """How wide the terminal is: rich believes COLUMNS, and a bar that is wider leaves its remains on the screen."""
    try:
        return os.get_terminal_size(console.file.fileno()).columns or console.width
    except (OSError, ValueError):
        return console.width

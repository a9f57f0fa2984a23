"""How far an ingest is: a line that changes on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hookrag.ingest import Progress

EVERY = 5.0
"""Seconds between two lines of a log."""


def told(progress: Progress) -> str:
    """Progress in words."""
    indexed = progress.new + progress.changed
    rate = progress.chunks / progress.seconds if progress.seconds > 0 else 0.0
    failed = f", {progress.failed} failed" if progress.failed else ""
    of = f"/{progress.total}" if progress.total else ""
    left = ""
    if progress.total and progress.items:
        left = f", about {progress.seconds / progress.items * (progress.total - progress.items):.0f} s left"
    return (
        f"{progress.items}{of} files, {indexed} documents indexed, {progress.unchanged} unchanged{failed}, "
        f"{progress.chunks} chunks, {rate:.0f} chunks/s, {progress.seconds:.0f} s{left}"
    )


@contextmanager
def showing() -> Iterator[Callable[[Progress], None]]:
    """A function to hand to an ingest; what it shows goes to standard error."""
    if not sys.stderr.isatty():
        last = monotonic()

        def line(progress: Progress) -> None:
            nonlocal last
            if monotonic() - last >= EVERY:
                last = monotonic()
                click.echo(told(progress), err=True)

        yield line
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield lambda progress: status.update(told(progress))

"""What people see: colour and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hookrag.ingest import Problem

LINES = "\n\t"
"""What `plain` keeps of a text that has lines of its own: a message, an answer."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def on_terminal() -> bool:
    """Whether standard output is a terminal; it may be closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def styled(text: str, **look: Any) -> str:
    """The text in a colour or weight, unless NO_COLOR is set."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **look)


def plain(text: str, *, keep: str = "") -> str:
    """The text with control characters and lone surrogates written as escapes, but those to `keep`.

    Names of files and texts of documents are anybody's: raw, they could clear the screen or break a line in two.

    >>> plain("a\\x1b[2J\\nb\\x9b"), plain("a\\x1b\\nb", keep="\\n")
    ('a\\\\x1b[2J\\\\nb\\\\x9b', 'a\\\\x1b\\nb')
    """
    return _CONTROL.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode("ascii"), text)


def problem_line(problem: Problem) -> str:
    """The document, where it is unless its id says that, and what is wrong with it.

    >>> from hookrag.ingest import Problem
    >>> problem_line(Problem("b7", "/srv/d.jsonl", "no text")), problem_line(Problem("a/b.pdf", "/srv/a/b.pdf", "no text"))
    ('b7 (/srv/d.jsonl): no text', 'a/b.pdf: no text')
    """
    known = not problem.locator or f"/{problem.locator}".endswith(f"/{problem.id}")
    where = "" if known else f" ({plain(problem.locator)})"
    return f"{plain(problem.id)}{where}: {plain(problem.reason)}"


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if on_terminal() else None))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    if not on_terminal():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def print_error(error: BaseException) -> None:
    """The message of an error with its notes on standard error."""
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    click.echo(f"{styled('error:', fg='red', bold=True)} {plain(message, keep=LINES)}", err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(f"  {plain(note, keep=LINES)}", err=True)
    if os.environ.get("HOOKRAG_DEBUG"):
        import traceback

        traceback.print_exception(error)


def print_trace(trace: Any) -> None:
    """The tree of what happened, on standard error."""
    click.echo(styled(str(trace), dim=True), err=True)

"""What happened during a call: a tree of spans, kept only while somebody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from hookrag.values import Step

_current: ContextVar[Span | None] = ContextVar("hookrag_span", default=None)


@dataclass(slots=True)
class Span:
    """One operation of one component: how many items, how long in seconds, what it noted, and the operations inside it."""

    step: Step | None
    operation: str
    items: int
    started: float = field(default_factory=perf_counter)
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    children: list[Span] = field(default_factory=list)

    def walk(self) -> Iterator[Span]:
        """This span and all inside it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()

    def __str__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> Iterator[str]:
        name = f"{self.step} " if self.step else ""
        notes = "".join(f" {key}={value}" for key, value in self.notes.items())
        failed = f" failed: {self.error}" if self.error else ""
        yield f"{indent}{name}{self.operation} x{self.items} {self.seconds * 1000:.1f} ms{notes}{failed}"
        for child in self.children:
            yield from child._lines(indent + "  ")


@contextmanager
def tracing() -> Iterator[Span]:
    """Record every component's operations, also nested ones and those in the pipeline's threads, under the span it gives.

    A trace within another one is part of that, too.
    """
    root = Span(None, "trace", 0)
    outer = _current.get()
    token = _current.set(root)
    try:
        yield root
    finally:
        root.seconds = perf_counter() - root.started
        _current.reset(token)
        if outer is not None:
            outer.children += root.children


@contextmanager
def span(step: Step, operation: str, items: int) -> Iterator[None]:
    """Record one operation; the caller has seen that a trace is on."""
    parent = _current.get()
    assert parent is not None
    opened = Span(step, operation, items)
    parent.children.append(opened)
    token = _current.set(opened)
    try:
        yield
    except BaseException as error:
        opened.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        opened.seconds = perf_counter() - opened.started
        _current.reset(token)


def timed_pages(step: Step, operation: str, pages: Iterator[Any]) -> Iterator[Any]:
    """The pages, with an operation in the trace that counts what is in them and the time that it takes to get them."""
    parent = _current.get()
    if parent is None:
        return pages
    opened = Span(step, operation, 0)
    parent.children.append(opened)
    return _timed(opened, pages)


def _timed(opened: Span, pages: Iterator[Any]) -> Iterator[Any]:
    while True:
        started = perf_counter()
        try:
            page = next(pages)
        except StopIteration:
            return
        except BaseException as error:
            opened.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            opened.seconds += perf_counter() - started
        opened.items += len(page) if isinstance(page, list) else 1
        yield page


def is_tracing() -> bool:
    """Whether somebody watches."""
    return _current.get() is not None


def note(**facts: Any) -> None:
    """Write facts to the operation that is running: numbers are added to a fact of that name, other values replace it."""
    here = _current.get()
    if here is None:
        return
    for name, value in facts.items():
        before = here.notes.get(name)
        adds = isinstance(value, int | float) and isinstance(before, int | float) and not isinstance(value, bool)
        here.notes[name] = before + value if adds else value

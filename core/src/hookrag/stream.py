"""Answers as they are written."""

from __future__ import annotations

import contextvars
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from hookrag.errors import HookragError
from hookrag.protocols import Emit
from hookrag.values import Answer, Event


class Cancelled(HookragError):
    """The reader of a stream went away."""


class Stream:
    """An iterator of events; `answers()` gives the whole answers once they are written.

    Breaking out of the loop, `close()` or leaving a `with` block ends the writing at its next piece.
    """

    def __init__(self, pool: ThreadPoolExecutor, write: Callable[[Emit], list[Answer]]) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stopped = False
        self._write = write
        self._future = pool.submit(contextvars.copy_context().run, self._run)

    def _run(self) -> list[Answer]:
        try:
            return self._write(self._emit)
        finally:
            self._events.put(None)

    def _emit(self, event: Event) -> None:
        if self._stopped:
            raise Cancelled("the stream was closed before the answer was whole")
        self._events.put(event)

    def __iter__(self) -> Iterator[Event]:
        try:
            while (event := self._events.get()) is not None:
                yield event
        except GeneratorExit:
            self.close()
            raise
        self._events.put(None)  # a second loop ends at once instead of waiting
        self._future.result()  # an error of the writer is the reader's

    def answers(self) -> list[Answer]:
        """The answers, in the order of the questions. Raises what the writer raised."""
        return self._future.result()

    def close(self) -> None:
        """End the writing at its next piece."""
        self._stopped = True
        self._future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Answers as they are written."""

from __future__ import annotations

import contextvars
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from hookrag.errors import HookragError
from hookrag.protocols import Emit
from hookrag.values import Answer, Event

_CLOSED = "the stream was closed before the answer was whole"


class Cancelled(HookragError):
    """The reader of a stream went away."""


class Stream:
    """An iterator of events; `answers()` gives the whole answers once they are written.

    Breaking out of the loop, `close()` or leaving a `with` block ends the writing at its next piece.
    """

    def __init__(self, pool: ThreadPoolExecutor, write: Callable[[Emit], list[Answer]]) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stopped = False
        self._future = pool.submit(contextvars.copy_context().run, write, self._emit)
        # Not in the writer: one that was cancelled before a thread took it up has an end as well.
        self._future.add_done_callback(lambda _: self._events.put(None))

    def _emit(self, event: Event) -> None:
        if self._stopped:
            raise Cancelled(_CLOSED)
        self._events.put(event)

    def __iter__(self) -> Iterator[Event]:
        try:
            while (event := self._events.get()) is not None:
                yield event
        except GeneratorExit:
            self.close()
            raise
        self._events.put(None)  # a second loop ends at once instead of waiting
        self.answers()  # an error of the writer is the reader's

    def answers(self) -> list[Answer]:
        """The answers, in the order of the questions. Raises what the writer raised."""
        try:
            return self._future.result()
        except CancelledError:
            raise Cancelled(_CLOSED) from None

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

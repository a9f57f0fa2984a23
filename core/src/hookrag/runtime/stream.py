"""Answers as they are written."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from hookrag.errors import Cancelled
from hookrag.protocols import Emit
from hookrag.runtime.request import Request, serving
from hookrag.values import Answer, Event

_CLOSED = "the stream was closed before the answer was whole"


class Stream:
    """An iterator of events; `answers()` gives the whole answers once they are written.

    Breaking out of the loop, `close()` or leaving a `with` block ends the writing at its next piece or operation. Events go to
    `put`, and None after the last, where one is given; then there is nothing to iterate over.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        write: Callable[[Emit], list[Answer]],
        put: Callable[[Event | None], None] | None = None,
    ) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._put = self._events.put if put is None else put
        self._gone = threading.Event()
        self._future = pool.submit(contextvars.copy_context().run, self._run, write)
        # Not in the writer: one that was cancelled before a thread took it up has an end as well.
        self._future.add_done_callback(lambda _: self._put(None))

    def _run(self, write: Callable[[Emit], list[Answer]]) -> list[Answer]:
        with serving(Request(cancelled=self._gone)):
            return write(self._emit)

    def _emit(self, event: Event) -> None:
        if self._gone.is_set():
            raise Cancelled(_CLOSED)
        self._put(event)

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
        self._gone.set()
        self._future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

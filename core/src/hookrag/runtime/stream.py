"""Answers as they are written."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from hookrag.errors import Cancelled
from hookrag.protocols import Emit
from hookrag.runtime.request import Request, serving
from hookrag.values import Answer, Event

T = TypeVar("T")

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


async def astreamed(pool: ThreadPoolExecutor, write: Callable[[Emit], list[Answer]]) -> AsyncGenerator[Event]:
    """The events of answers that are written in a thread, for an event loop; leaving the iteration ends the writing."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(event: Event | None) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody reads any more
            loop.call_soon_threadsafe(events.put_nowait, event)

    with Stream(pool, write, put) as stream:
        while (event := await events.get()) is not None:
            yield event
        stream.answers()  # whole by now: an error of the writer is the reader's


async def in_thread(pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """The result of a call that is made in a thread, in the caller's context; a task that is cancelled ends it."""
    gone = threading.Event()

    def run() -> T:
        with serving(Request(cancelled=gone)):
            return call()

    try:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(contextvars.copy_context().run, run))
    except asyncio.CancelledError:
        gone.set()  # a thread cannot be stopped, but it need not begin anything new
        raise

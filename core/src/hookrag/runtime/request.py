"""What holds for everything that one call of a pipeline does: its middleware, deadline, scope, and threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field, replace
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from hookrag.errors import Cancelled, DeadlineExceeded

if TYPE_CHECKING:
    from hookrag.filters import Filter
    from hookrag.protocols import Middleware
    from hookrag.values import Query

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """The circumstances of a call. `deadline` is a reading of `time.monotonic()`; `scope` limits every search and fetch.

    `outside`: what comes from outside of the stores is allowed where there is a filter or a scope, which it cannot obey.

    `state` is what middleware keeps for the length of the request, each under a key of its own. `cancelled` is set when whoever
    asked went away.
    """

    middleware: tuple[Middleware, ...] = ()
    deadline: float | None = None
    scope: Filter | None = None
    explain: bool = False
    pool: ThreadPoolExecutor | None = None
    outside: bool = False
    state: dict[object, Any] = field(default_factory=dict, compare=False)
    cancelled: Event | None = field(default=None, compare=False)


_request: ContextVar[Request | None] = ContextVar("hookrag_request", default=None)


def current_request() -> Request:
    """The request that is being served, or an empty one."""
    return _request.get() or Request()


class serving:
    """A context in which a request is served: whatever is called inside belongs to it, also in the threads of `fan_out`."""

    __slots__ = ("_request", "_token")

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._token = _request.set(self._request)

    def __exit__(self, *_: object) -> None:
        _request.reset(self._token)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give whatever is called inside so many seconds, or fewer where an outer deadline is nearer."""
    until = monotonic() + seconds
    outer = current_request()
    with serving(replace(outer, deadline=until if outer.deadline is None else min(until, outer.deadline))):
        yield


def explaining() -> bool:
    """Whether the caller wants to know where hits come from, also at some cost."""
    return current_request().explain


def outside_allowed(query: Query) -> bool:
    """Whether a retriever that finds chunks outside of the stores may be asked: always where nothing limits the query."""
    request = current_request()
    return request.outside or (request.scope is None and query.where is None)


def time_left() -> float | None:
    """Seconds until the deadline, at least 0; None where there is none."""
    until = current_request().deadline
    return None if until is None else max(0.0, until - monotonic())


def check_deadline(doing: str) -> None:
    """Raise, naming what was about to be done: DeadlineExceeded when the time is over, Cancelled when nobody waits any more."""
    request = current_request()
    if request.cancelled is not None and request.cancelled.is_set():
        raise Cancelled(f"whoever asked went away before {doing}")
    until = request.deadline
    if until is not None and monotonic() >= until:
        raise DeadlineExceeded(f"the deadline passed {monotonic() - until:.2f} s ago, before {doing}: give more time")


def fan_out(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of the calls, in order, run concurrently in the pipeline's pool; the first error, in order, is raised.

    Safe to nest: before it waits, the caller runs those of its calls that no thread has begun, so that a full pool cannot lock
    itself up. A call in another thread, which cannot be stopped, is left behind when the deadline passes or one before it
    fails; what the caller runs itself, as always the first, is waited for.
    """
    pool = current_request().pool
    if pool is None or len(calls) < 2:
        return [call() for call in calls]
    futures: list[Future[T]] = [pool.submit(copy_context().run, call) for call in calls[1:]]
    try:
        results = [calls[0]()]
        for call, future in zip(calls[1:], futures, strict=True):
            results.append(call() if future.cancel() else _wait(future))
        return results
    finally:
        for future in futures:
            future.cancel()


def _wait(future: Future[T]) -> T:
    try:
        return future.result(time_left())
    except TimeoutError:
        check_deadline("a concurrent call had finished")
        raise

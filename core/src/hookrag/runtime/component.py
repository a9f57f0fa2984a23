"""A built component: opened once, called by as many threads at a time as it allows, its failures named."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hookrag.errors import ComponentError, ContractError, HookragError
from hookrag.runtime.request import check_deadline, time_left
from hookrag.values import Step


class Instance:
    """One component object with its life cycle. Tables with equal fingerprints share one.

    `settings` are the plain values it was made with, defaults included; `references` the proxies it was given, by parameter.
    """

    def __init__(
        self, component: Any, settings: Mapping[str, Any], references: Mapping[str, Any], *, plugin_version: str = ""
    ) -> None:
        self.component = component
        self.settings = settings
        self.references = references
        self.plugin_version = plugin_version
        limit = getattr(component, "max_concurrency", None)
        self.limit: threading.Semaphore | None = threading.Semaphore(limit) if limit else None
        self._lock = threading.RLock()
        self._opening = False
        self._open = False

    def open(self, step: Step) -> None:
        """Open the component unless it is open; where that fails, the next use tries again."""
        if not self._open:
            with self._lock:
                self._open_once(step)

    def _open_once(self, step: Step) -> None:
        if self._opening:
            raise ComponentError(
                f"{step} (use = {step.use!r}) is called by its own open(): let open() use nothing that calls it back"
            )
        if not self._open:
            start = getattr(self.component, "open", None)
            if start is not None:
                self._opening = True
                try:
                    with naming(step, "open"):
                        start()
                finally:
                    self._opening = False
            self._open = True

    def close(self, step: Step) -> None:
        """Close the component if it is open; it may be opened again."""
        with self._lock:
            if self._open:
                self._open = False
                end = getattr(self.component, "close", None)
                if end is not None:
                    with naming(step, "close"):
                        end()

    @contextmanager
    def turn(self, doing: str) -> Iterator[None]:
        """Be one of the `max_concurrency` callers. Raises DeadlineExceeded where none of the others is done in time."""
        if self.limit is None:
            yield
            return
        while not self.limit.acquire(timeout=time_left()):
            check_deadline(doing)
        try:
            yield
        finally:
            self.limit.release()


class naming:
    """A context in which a failure gets the table's name: errors of hookrag a note, others wrapped as ComponentError."""

    __slots__ = ("operation", "step")

    def __init__(self, step: Step, operation: str) -> None:
        self.step = step
        self.operation = operation

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        if isinstance(error, HookragError):
            if not isinstance(error, ContractError | ComponentError):
                mark = f"in {self.step} (use = {self.step.use!r}), {self.operation}"
                if mark not in getattr(error, "__notes__", ()):
                    error.add_note(mark)
        elif isinstance(error, Exception):
            raise ComponentError(
                f"{self.step} (use = {self.step.use!r}) failed in {self.operation}: {type(error).__name__}: {error}"
            ) from error


def walk(roots: Sequence[Any]) -> Iterator[Any]:
    """Every proxy reachable from these, each once, those referred to before those that refer."""
    seen: set[int] = set()

    def visit(proxy: Any) -> Iterator[Any]:
        if id(proxy) in seen:
            return
        seen.add(id(proxy))
        for reference in proxy.instance.references.values():
            for inner in _proxies(reference):
                yield from visit(inner)
        yield proxy

    for root in roots:
        yield from visit(root)


def _proxies(reference: Any) -> Iterator[Any]:
    if isinstance(reference, list | tuple):
        yield from reference
    elif isinstance(reference, Mapping):
        yield from reference.values()
    elif reference is not None:
        yield reference

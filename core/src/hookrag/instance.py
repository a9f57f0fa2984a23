"""A built component: opened once, called through its middleware, its failures named."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from hookrag.calls import Call, Proceed
from hookrag.errors import ComponentError, ContractError, HookragError
from hookrag.protocols import Middleware
from hookrag.request import check_deadline, current, time_left
from hookrag.trace import is_tracing, span
from hookrag.values import Step

Check = Callable[[Call, Any], None]

# Options that only say how the result travels; a component that does not know one is called without it.
_DELIVERY = frozenset({"emit"})


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
        """Open the component unless it is open; what it raises is raised again at the next use."""
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


class Operation:
    """One method of a component as the others call it: open, traced, within the deadline, through middleware, checked."""

    __slots__ = ("_accepts", "_chains", "_check", "_checked", "_defaults", "_instance", "_method", "name", "step")

    def __init__(
        self, step: Step, instance: Instance, name: str, check: Check, defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.step = step
        self.name = name
        self._instance = instance
        self._method = getattr(instance.component, name)
        self._check = check
        self._defaults = defaults or {}
        self._accepts = _keywords(self._method)
        self._chains: dict[tuple[Middleware, ...], Proceed] = {}
        self._checked = threading.local()

    def __call__(self, items: Sequence[Any], options: Mapping[str, Any]) -> Any:
        request = current()
        if request.deadline is not None or request.cancelled is not None:
            check_deadline(f"{self.step} {self.name}")
        call = Call(self.step, self.name, items, options)
        with span(self.step, self.name, len(items)) if is_tracing() else nullcontext():
            if not request.middleware:
                return self._run(call)
            return self._outermost(self._chain(request.middleware), call)

    def _outermost(self, chain: Proceed, call: Call) -> Any:
        """The result after all middleware, checked unless it is the very one that the component gave to the very same call."""
        self._checked.last = None
        result = chain(call)
        last, self._checked.last = self._checked.last, None
        same = (
            last is not None and last[1] is result and last[0].items is call.items and last[0].options == call.options
        )
        if not same:
            with naming(self.step, self.name):
                self._check(call, result)
        return result

    def _chain(self, middleware: tuple[Middleware, ...]) -> Proceed:
        chain = self._chains.get(middleware)
        if chain is None:
            chain = self._run_noted
            for outer in reversed(middleware):
                chain = _surround(outer, chain)
            self._chains[middleware] = chain
        return chain

    def _run(self, call: Call) -> Any:
        instance = self._instance
        instance.open(self.step)
        options = self._options(call.options)
        with naming(self.step, self.name):
            if instance.limit is None:
                result = self._method(call.items, **options)
            else:
                with instance.turn(f"{self.step} {self.name}"):
                    result = self._method(call.items, **options)
            self._check(call, result)
        return result

    def _run_noted(self, call: Call) -> Any:
        result = self._run(call)
        self._checked.last = (call, result)
        return result

    def _options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        accepts = self._accepts
        if accepts is None or accepts.issuperset(options):
            return options
        kept = {}
        for name, value in options.items():
            if name in accepts:
                kept[name] = value
            elif name not in _DELIVERY and value != self._defaults.get(name):
                raise ContractError(
                    f"{self.step} (use = {self.step.use!r}): its {self.name}() does not take {name!r}, "
                    f"and without it the result would be another; leave {name} out or use another {self.step.kind}"
                )
        return kept


def _surround(outer: Middleware, proceed: Proceed) -> Proceed:
    around = outer.around
    return lambda call: around(call, proceed)


def _keywords(method: Callable[..., Any]) -> frozenset[str] | None:
    """The keyword options that a method names; None where it takes any."""
    found = set()
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return None
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            found.add(parameter.name)
    return frozenset(found)


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

"""One method of a component as the others call it: within the deadline, traced, through middleware, opened, checked."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hookrag.errors import ContractError
from hookrag.protocols import Call, Middleware
from hookrag.runtime.component import Instance, naming
from hookrag.runtime.request import check_deadline, current_request
from hookrag.runtime.table import OperationType
from hookrag.runtime.trace import is_tracing, span, timed_pages
from hookrag.values import Step

# Options that only say how the result travels; a component that does not know one is called without it.
_DELIVERY = frozenset({"emit"})
_UNSET: Any = object()


class Operation:
    """A method with what surrounds it. Called as the method is: a batch first where it takes one, options by keyword.

    A call that middleware made another of, or whose result is not the component's own, is checked a second time outside of the
    middleware; the first check, inside, is what names the component.
    """

    __slots__ = ("_accepts", "_batch", "_check", "_checked", "_instance", "_method", "_type", "name", "step")

    def __init__(
        self,
        step: Step,
        instance: Instance,
        name: str,
        method: Callable[..., Any],
        type_: OperationType,
    ) -> None:
        self.step = step
        self.name = name
        self._instance = instance
        self._method = method
        self._type = type_
        self._batch = bool(type_.batch)
        self._check = type_.check
        self._accepts = _keywords(method)
        self._checked = threading.local()

    def __call__(self, /, *given: Any, **options: Any) -> Any:
        if self._type.defaults:
            options = {name: value for name, value in options.items() if not self._is_default(name, value)}
        if self._batch:
            call = Call(self.step, self.name, given[0], options, given[1:])
        else:
            call = Call(self.step, self.name, (), options, given)
        request = current_request()
        if request.deadline is not None or request.cancelled is not None:
            check_deadline(f"{self.step} {self.name}")
        if self._type.pages:
            return timed_pages(self.step, self.name, self._pages(call, request.middleware))
        if is_tracing():
            with span(self.step, self.name, len(call.items)):
                return self._outermost(request.middleware, call) if request.middleware else self._run(call)
        return self._outermost(request.middleware, call) if request.middleware else self._run(call)

    def _is_default(self, name: str, value: Any) -> bool:
        default = self._type.defaults.get(name, _UNSET)
        if isinstance(default, tuple):
            return isinstance(value, list | tuple) and tuple(value) == default
        return value is default or (isinstance(value, int | float | str) and value == default)

    def _outermost(self, middleware: Sequence[Middleware], call: Call) -> Any:
        """The result after all middleware, checked unless it is the very one that the component gave to the very same call."""
        checked = self._checked
        checked.last = None
        result = self._surrounded(middleware, call)
        last, checked.last = checked.last, None
        same = last is not None and last[1] is result and _alike(last[0], call)
        if not same:
            with naming(self.step, self.name):
                self._check(call, result)
        return result

    def _surrounded(self, middleware: Sequence[Middleware], call: Call) -> Any:
        if not middleware:
            result = self._run(call)
            self._checked.last = (call, result)
            return result
        return middleware[0].around(call, lambda inner: self._surrounded(middleware[1:], inner))

    def _run(self, call: Call) -> Any:
        instance = self._instance
        instance.open(self.step)
        accepts = self._accepts
        options = call.options
        if accepts is not None and not accepts.issuperset(options):
            options = self._known(options)
        given = (call.items, *call.arguments) if self._batch else call.arguments
        with naming(self.step, self.name):
            if instance.limit is None:
                result = self._method(*given, **options)
            else:
                with instance.turn(f"{self.step} {self.name}"):
                    result = self._method(*given, **options)
            self._check(call, result)
        return result

    def _pages(self, call: Call, middleware: Sequence[Middleware]) -> Iterator[Any]:
        """What the component gives piece by piece. It takes no turn: whoever reads may call the component in between."""

        def begin(inner: Call) -> Iterator[Any]:
            self._instance.open(self.step)
            with naming(self.step, self.name):
                yield from self._method(*inner.arguments, **self._known(inner.options))

        def through(left: Sequence[Middleware], inner: Call) -> Any:
            return left[0].around(inner, lambda one: through(left[1:], one)) if left else begin(inner)

        yield from through(middleware, call)

    def _known(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options that the method names. Raises ContractError for another that would change the result."""
        kept = {}
        for name, value in options.items():
            if self._accepts is None or name in self._accepts:
                kept[name] = value
            elif name not in _DELIVERY and not self._is_default(name, value):
                raise ContractError(
                    f"{self.step} (use = {self.step.use!r}): its {self.name}() does not take {name!r}, "
                    f"and without it the result would be another; leave {name} out or use another {self.step.kind}"
                )
        return kept


def _alike(one: Call, other: Call) -> bool:
    return one.items is other.items and one.arguments is other.arguments and one.options == other.options


def _keywords(method: Callable[..., Any]) -> frozenset[str] | None:
    """The keyword options that a method names; None where it takes any."""
    found = set()
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return None
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            found.add(parameter.name)
    return frozenset(found)

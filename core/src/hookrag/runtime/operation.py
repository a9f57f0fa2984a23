"""One method of a component as the others call it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from hookrag.errors import ContractError
from hookrag.protocols import Call, Middleware, Proceed
from hookrag.runtime.component import Instance, naming
from hookrag.runtime.request import check_deadline, current
from hookrag.runtime.trace import is_tracing, span
from hookrag.values import Step

Check = Callable[[Call, Any], None]

# Options that only say how the result travels; a component that does not know one is called without it.
_DELIVERY = frozenset({"emit"})


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

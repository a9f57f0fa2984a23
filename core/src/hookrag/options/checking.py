"""Constructors held to the limits of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from hookrag.options.reading import Check, check_of, hints

P = ParamSpec("P")


def problems(constructor: Any, values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the values of a function's parameters: "size must be at least 1, got 0", in the function's order."""
    checks = _checks_of(constructor)
    return [f"{name}{wrong}" for name, check in checks.items() if name in values for wrong in check(values[name])]


def _checks_of(constructor: Any) -> dict[str, Check]:
    found = {name: check_of(declared) for name, declared in hints(constructor).items() if name != "return"}
    return {name: check for name, check in found.items() if check is not None}


def checked(constructor: Callable[P, None], /) -> Callable[P, None]:
    """Holds a constructor to the limits and choices of its parameters; ValueError tells all that are not kept at once.

    Only what is given is checked, not the defaults. Types are resolved at the first call.
    """
    checks: dict[str, Check] = {}
    names: list[str] = []

    @wraps(constructor)
    def made(*args: P.args, **kwargs: P.kwargs) -> None:
        if not names:
            checks.update(_checks_of(constructor))
            names.extend(inspect.signature(constructor).parameters)
        given: Mapping[str, Any] = kwargs if len(args) <= 1 else {**dict(zip(names, args, strict=False)), **kwargs}
        for name in given:
            if name in checks and checks[name](given[name]):
                raise ValueError("; ".join(problems(constructor, given)))
        constructor(*args, **kwargs)

    return made

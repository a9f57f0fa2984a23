"""What every check uses: a component behind its real proxy, a failure that tells what to write, and a comparison of results."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hookrag.config.objects import Adoption
from hookrag.errors import HookragError
from hookrag.runtime.component import walk
from hookrag.runtime.shared import Shared

Make = Callable[..., Any]
"""Gives a fresh component that was not opened: called with a folder for a store and a reader, without arguments else."""

Check = Callable[[Make], "str | None"]
"""Raises where a promise is broken; a text that it returns says why there was nothing to check."""

WITH_FOLDER = frozenset({"store", "reader"})
TOLERANCE = 1e-5


class CheckFailed(AssertionError):
    """A component does not keep a promise; the message says which component, what it did, and what to write."""


def require(kept: bool, subject: Any, what: str, todo: str) -> None:
    """Raise CheckFailed unless the promise is kept; `subject` is the component, its proxy or its class."""
    if not kept:
        raise CheckFailed(f"{class_of(subject).__name__} {what}: {todo}")


def class_of(subject: Any) -> type:
    """The class of a component, also of one behind a proxy."""
    if isinstance(subject, type):
        return subject
    instance = getattr(subject, "instance", None)
    return type(subject if instance is None else instance.component)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with TemporaryDirectory(prefix="hookrag-check-") as name:
        yield Path(name)


def fresh(kind: str, make: Make, folder: Path) -> Any:
    """A component that was not opened; `folder` is where a store keeps its rows and where a reader's files lie."""
    return make(folder) if kind in WITH_FOLDER else make()


@contextmanager
def opened(kind: str, make: Make, folder: Path | None = None) -> Iterator[Any]:
    """A fresh component behind its real proxy, which opens it at its first use and checks its contract; closed afterwards."""
    with ExitStack() as stack:
        place = stack.enter_context(temporary_folder()) if folder is None else folder
        proxy = Adoption(Shared()).adopt(kind, fresh(kind, make, place))
        try:
            yield proxy
        finally:
            close(proxy)


def close(proxy: Any) -> None:
    """Close a component and all it refers to, those that refer first."""
    for inner in reversed(list(walk([proxy]))):
        inner.instance.close(inner.step)


def options_of(proxy: Any, operation: str) -> frozenset[str]:
    """The keyword options that the component's method names."""
    method = getattr(proxy.instance.component, operation)
    return frozenset(p.name for p in inspect.signature(method).parameters.values() if p.kind is p.KEYWORD_ONLY)


def refusal(call: Callable[[], object]) -> HookragError | None:
    """The error of hookrag that a call raises, None where it raises none. Other errors pass."""
    try:
        call()
    except HookragError as error:
        return error
    return None


def difference(first: Any, second: Any, where: str = "result") -> str:
    """The first place where two results differ, "" where they do not; numbers may differ by 1e-5 of 1 and of their size."""
    if first is second:
        return ""
    if isinstance(first, str) or first is None:
        return "" if first == second else _differ(where, first, second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _of_arrays(first, second, where)
    if isinstance(first, float) and isinstance(second, float | int):
        near = math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return "" if near else _differ(where, first, second)
    if is_dataclass(first) and type(first) is type(second):
        pairs = ((f".{f.name}", getattr(first, f.name), getattr(second, f.name)) for f in fields(first))
    elif isinstance(first, Mapping) and isinstance(second, Mapping) and first.keys() == second.keys():
        pairs = ((f"[{key!r}]", first[key], second[key]) for key in first)
    elif _is_list(first) and _is_list(second) and len(first) == len(second):
        pairs = ((f"[{i}]", *pair) for i, pair in enumerate(zip(first, second, strict=True)))
    else:
        return "" if first == second else _differ(where, first, second)
    return next(filter(None, (difference(one, other, where + name) for name, one, other in pairs)), "")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _of_arrays(first: Any, second: Any, where: str) -> str:
    if first.shape != second.shape:
        return _differ(f"{where}.shape", first.shape, second.shape)
    if first.size and not np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE):
        return f"{where} differs by up to {float(np.abs(first - second).max()):.2g}"
    return ""


def _differ(where: str, first: Any, second: Any) -> str:
    return f"{where} is {_cut(first)} and {_cut(second)}"


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

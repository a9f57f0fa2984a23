"""What components of every kind promise: a quiet constructor, a life cycle, threads, batches, and inputs left alone."""

from __future__ import annotations

import copy
import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from threading import Barrier
from time import process_time
from typing import Any, Literal, get_args, get_origin

from hookrag.config.signature import PROTOCOLS, kind_of, members, parameters
from hookrag.errors import HookragError, PluginError
from hookrag.options.reading import outside
from hookrag.testing._kit import Check, Make, close, difference, fresh, opened, require, temporary_folder

THREADS = 8
_ABSENT = object()
CONSTRUCTOR_SECONDS = 1.0  # of processor time: a thousand times what keeping parameters takes, less than a model


@dataclass(frozen=True, slots=True)
class Trial:
    """How the general checks use a component of a kind: `prepare(proxy, folder)` gives a fresh batch, `call` a result.

    `separate` says that the result has one entry an item, which the other items of the batch do not change.
    """

    kind: str
    prepare: Callable[[Any, Path], list[Any]]
    call: Callable[[Any, Sequence[Any]], Any]
    separate: bool = True


def general_checks(trial: Trial) -> tuple[Check, ...]:
    """The checks of this module for one kind."""
    found = [
        check_constructor_does_no_io,
        check_signature_is_a_schema,
        check_parameters_are_kept,
        check_limits_are_kept_in_python,
        check_operations_name_their_options,
        check_repr_shows_no_secret,
        check_works_again_after_close,
        check_works_from_eight_threads,
        check_inputs_are_not_changed,
        check_two_instances_agree,
    ]
    if trial.separate:
        found += [check_empty_batch_gives_nothing, check_batch_equals_one_by_one]
    return tuple(_of(trial, check) for check in found)


def _of(trial: Trial, check: Callable[[Trial, Make], str | None]) -> Check:
    @wraps(check)
    def bound(make: Make) -> str | None:
        return check(trial, make)

    return bound


@contextmanager
def _using(trial: Trial, make: Make) -> Iterator[tuple[Any, list[Any]]]:
    with temporary_folder() as folder, opened(trial.kind, make, folder) as proxy:
        yield proxy, trial.prepare(proxy, folder)


# --- the constructor


_seen: ContextVar[list[str] | None] = ContextVar("hookrag_testing_io", default=None)
_IO = ("open", "os.", "socket.", "subprocess.", "sqlite3.", "tempfile.", "shutil.", "urllib.")


@cache
def _install_hook() -> None:
    # An audit hook also sees what C code does and cannot be removed, so it only writes where somebody watches.
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        seen = _seen.get()
        if seen is not None and event.startswith(_IO) and not event.endswith("env"):
            seen.append(f"{event}{arguments[:1]!r}")

    sys.addaudithook(hook)


@contextmanager
def _watching_io() -> Iterator[list[str]]:
    _install_hook()
    seen: list[str] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def check_constructor_does_no_io(trial: Trial, make: Make) -> str | None:
    """The constructor opens no file, socket, database or process, and loads no model."""
    with temporary_folder() as folder:
        made = fresh(trial.kind, make, folder)  # modules that it imports are loaded now
    # Made again from what it keeps, because `make` itself may fill a store or write the sample of a reader.
    cls = type(made)
    kept = _kept(made)
    if kept is None:
        return "it does not keep its parameters, which another check reports"
    seconds = []
    for _ in range(3):
        started = process_time()
        with _watching_io() as seen:
            cls(**kept)
        seconds.append(process_time() - started)
        require(
            not seen, made, f"does input or output in its constructor: {', '.join(seen[:3])}", "do it in open(self)"
        )
        if seconds[-1] < CONSTRUCTOR_SECONDS:
            return None
    seconds_text = f"{min(seconds):.1f} s of processor time"
    require(False, made, f"takes {seconds_text} in its constructor", "load models in open(self)")
    return None


def _kept(component: Any) -> dict[str, Any] | None:
    """What its constructor was given; None where it does not keep all of it."""
    names = inspect.signature(type(component)).parameters
    kept = {name: getattr(component, name, getattr(component, f"_{name}", _ABSENT)) for name in names}
    return None if any(value is _ABSENT for value in kept.values()) else kept


def check_signature_is_a_schema(trial: Trial, make: Make) -> str | None:
    """Every parameter of the constructor is named, typed, and of a type that a configuration can hold."""
    with temporary_folder() as folder:
        cls = type(fresh(trial.kind, make, folder))
    try:
        found = parameters(cls)
    except PluginError as error:
        require(False, cls, f"has a constructor that is no schema: {error}", "name and annotate every parameter")
        raise
    for name, parameter in found.items():
        kind = inspect.signature(cls).parameters[name].kind
        require(
            kind is not inspect.Parameter.POSITIONAL_ONLY,
            cls,
            f"takes the parameter {name!r} by position only",
            f"write `def __init__(self, *, {name}: ...)`",
        )
        require(
            _configurable(parameter.annotation),
            cls,
            f"has the parameter {name!r} of type {parameter.annotation}, which no configuration can give",
            "use str, int, float, bool, Path, Literal, list[...], dict[str, ...], a protocol of hookrag, or one of them | None",
        )
    return None


def _configurable(annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if (
        annotation in (str, int, float, bool, Path, Any, type(None))
        or kind_of(annotation) is not None
        or origin is Literal
    ):
        return True
    if origin in (typing.Union, types.UnionType):
        return all(map(_configurable, inner))
    if origin in (list, tuple, Sequence):
        return len(inner) >= 1 and _configurable(inner[0])
    if origin in (dict, Mapping):
        return inner[0] is str and _configurable(inner[1])
    return False


def check_parameters_are_kept(trial: Trial, make: Make) -> str | None:
    """Every parameter of the constructor is kept on the instance under its own name, or that with an underscore."""
    with temporary_folder() as folder:
        component = fresh(trial.kind, make, folder)
    for name in inspect.signature(type(component)).parameters:
        require(
            hasattr(component, name) or hasattr(component, f"_{name}"),
            component,
            f"does not keep its parameter {name!r}",
            f"write `self.{name} = {name}` in __init__, so that pipelines and index cards can read it",
        )
    return None


def check_limits_are_kept_in_python(trial: Trial, make: Make) -> str | None:
    """A value just outside of a limit in the constructor's types is refused in Python too, and no default is outside."""
    with temporary_folder() as folder:
        component = fresh(trial.kind, make, folder)
    cls, kept = type(component), _kept(component)
    try:
        limited = {name: parameter for name, parameter in parameters(cls).items() if parameter.limits}
    except PluginError:
        return "its constructor is no schema, which another check reports"
    if kept is None:
        return "it does not keep its parameters, which another check reports"
    for name, parameter in limited.items():
        wrong = [] if parameter.required else parameter.problems(parameter.default)
        require(not wrong, cls, f"has a default that its own type refuses: {wrong}", "change one of them")
        for value in outside(parameter.declared):
            try:
                cls(**{**kept, name: value})
            except ValueError as error:
                said = str(error)
            else:
                said = ""
            require(
                name in said,
                cls,
                f"takes {name} = {value!r}, though its type says {parameter.limits}"
                if not said
                else f"refuses {name} = {value!r} without naming it: {said}",
                "decorate the constructor with hookrag.checked",
            )
    return None


def check_operations_name_their_options(trial: Trial, make: Make) -> str | None:
    """No operation takes **kwargs: an option that is not named is refused instead of ignored."""
    with temporary_folder() as folder:
        cls = type(fresh(trial.kind, make, folder))
    for operation in sorted(members(PROTOCOLS[trial.kind]).methods):
        kinds = {p.kind for p in inspect.signature(getattr(cls, operation)).parameters.values()}
        require(
            inspect.Parameter.VAR_KEYWORD not in kinds,
            cls,
            f"takes **kwargs in {operation}(), so that it accepts every option and ignores some",
            "name each option that it knows; the core leaves out the others or refuses them",
        )
    return None


_SECRET = re.compile(r"(^|_)(api_?key|key|password|passwd|secret|token)$")
_PLANTED = "planted-secret-5d41402abc4b"


def check_repr_shows_no_secret(trial: Trial, make: Make) -> str | None:
    """Secrets come by the name of an environment variable and show up in neither repr(), str() nor an error."""
    with temporary_folder() as folder:
        component = fresh(trial.kind, make, folder)
        secrets = []
        for name, parameter in inspect.signature(type(component)).parameters.items():
            value = getattr(component, name, getattr(component, f"_{name}", None))
            require(
                not (_SECRET.search(name) and "str" in str(parameter.annotation)),
                component,
                f"takes a secret as the parameter {name!r}",
                f"take the name of an environment variable, `{name}_env: str`, and read os.environ in open(self)",
            )
            if name.endswith("_env") and isinstance(value, str):
                secrets.append(value)
    with _environment(secrets) as planted, temporary_folder() as folder, opened(trial.kind, make, folder) as proxy:
        shown = ""
        try:
            proxy.open()
        except HookragError as error:  # the planted key is not a real one
            shown = str(error)
        shown += repr(proxy.instance.component) + str(proxy.instance.component)
        for secret in planted:
            require(
                secret not in shown,
                proxy,
                "shows a secret in its repr() or in an error",
                "leave it out of __repr__ (`field(repr=False)` in a dataclass)",
            )
    return None


@contextmanager
def _environment(names: Sequence[str]) -> Iterator[list[str]]:
    missing = [name for name in names if not os.environ.get(name)]
    os.environ.update(dict.fromkeys(missing, _PLANTED))
    try:
        yield [os.environ[name] for name in names]
    finally:
        for name in missing:
            del os.environ[name]


# --- life cycle and calls


def check_works_again_after_close(trial: Trial, make: Make) -> str | None:
    """Opened twice, closed twice and opened again, it gives the same results."""
    with _using(trial, make) as (proxy, batch):
        proxy.open()
        proxy.open()
        before = trial.call(proxy, copy.deepcopy(batch))
        close(proxy)
        close(proxy)
        after = trial.call(proxy, copy.deepcopy(batch))
    differs = difference(before, after)
    require(
        not differs,
        proxy,
        f"gives another result after close() and open(): {differs}",
        "let open() make anew whatever close() ends",
    )
    return None


def check_works_from_eight_threads(trial: Trial, make: Make) -> str | None:
    """Eight threads that call at once get what one gets; a class that cannot do it says `max_concurrency = 1`."""
    with _using(trial, make) as (proxy, batch):
        # Every thread has a batch of its own, so that one thread's items show up in another's results.
        turns = [batch[i:] + batch[: i // 2] if trial.separate else batch for i in range(THREADS)]
        alone = [trial.call(proxy, copy.deepcopy(turn)) for turn in turns]
        barrier = Barrier(THREADS)

        def call(turn: list[Any]) -> list[Any]:
            barrier.wait(60)
            try:
                return [trial.call(proxy, copy.deepcopy(turn)) for _ in range(3)]
            except Exception as error:
                return [f"{type(error).__name__}: {error}"]

        with ThreadPoolExecutor(THREADS) as pool:
            together = list(pool.map(call, turns))
        for expected, results in zip(alone, together, strict=True):
            for result in results:
                differs = difference(expected, result)
                require(
                    not differs,
                    proxy,
                    f"gives another result when {THREADS} threads call it: {differs}",
                    "keep no state of a call on self, guard what is shared by a lock, "
                    "or write `max_concurrency = 1` in the class",
                )
    return None


def check_inputs_are_not_changed(trial: Trial, make: Make) -> str | None:
    """What the caller gave is the same after a call."""
    with _using(trial, make) as (proxy, batch):
        before = copy.deepcopy(batch)
        trial.call(proxy, batch)
        differs = difference(before, batch, "items")
        require(
            not differs, proxy, f"changes what it is given: {differs}", "work on a copy; values belong to the caller"
        )
    return None


def check_two_instances_agree(trial: Trial, make: Make) -> str | None:
    """Two components made alike give the same results."""
    with _using(trial, make) as (proxy, batch):
        first = trial.call(proxy, batch)
    with _using(trial, make) as (proxy, batch):
        second = trial.call(proxy, batch)
    differs = difference(first, second)
    require(
        not differs,
        proxy,
        f"gives another result when it is made again: {differs}",
        "use no randomness without a fixed seed, no hash() of text, and no state of the class or module",
    )
    return None


def check_empty_batch_gives_nothing(trial: Trial, make: Make) -> str | None:
    """An empty batch gives an empty result."""
    with _using(trial, make) as (proxy, _):
        result = trial.call(proxy, [])
        require(
            len(result) == 0,
            proxy,
            f"gives {len(result)} results for an empty batch",
            "return one result for each item",
        )
    return None


def check_batch_equals_one_by_one(trial: Trial, make: Make) -> str | None:
    """An item's result does not depend on the other items of its batch or on its place."""
    with _using(trial, make) as (proxy, batch):
        together = trial.call(proxy, copy.deepcopy(batch))
        backwards = list(reversed(trial.call(proxy, copy.deepcopy(batch[::-1]))))
        for index, item in enumerate(batch):
            alone = trial.call(proxy, [copy.deepcopy(item)])[0]
            for other, how in ((together[index], "its batch"), (backwards[index], "a batch in reverse")):
                differs = difference(alone, other)
                require(
                    not differs,
                    proxy,
                    f"gives item {index} alone another result than in {how}: {differs}",
                    "compute each item by itself; padding and neighbours must not reach the result",
                )
    return None

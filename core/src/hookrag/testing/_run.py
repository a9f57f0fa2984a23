"""Running the checks of a kind: a list of results, or parameters for pytest. What is expected to fail must fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from hookrag.testing._kit import Check, Make
from hookrag.values import KINDS

if TYPE_CHECKING:
    import pytest

CHECKED: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "command")
NONE: Mapping[str, str] = MappingProxyType({})

Outcome = Literal["passed", "failed", "expected"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found: `message` is the failure, its reason where it was expected, or why nothing was to be checked."""

    check: str
    outcome: Outcome
    message: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} {self.check}" + (f": {self.message}" if self.message else "")


def checks(kind: str) -> tuple[Check, ...]:
    """The checks of a kind ("retriever"), each called `check_<what is promised>`. Raises ValueError for another word."""
    if kind not in CHECKED:
        raise ValueError(f"there is no kind {kind!r}; the kinds are {', '.join(CHECKED)}")
    found: tuple[Check, ...] = importlib.import_module(f"hookrag.testing.{kind}").CHECKS
    return found


def problems(kind: str, expected_failures: Mapping[str, str]) -> list[Result]:
    """What is wrong with the expected failures themselves: names of no check, and reasons that say nothing."""
    names = [check.__name__ for check in checks(kind)]
    wrong = []
    for name, reason in expected_failures.items():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "take it out of expected_failures"
            wrong.append(Result(name, "failed", f"is expected to fail, but no check of a {kind} has this name: {hint}"))
        elif not reason.strip():
            wrong.append(
                Result(name, "failed", "is expected to fail without a reason: write why, for your users to read")
            )
    return wrong


def run_checks(kind: str, make: Make, *, expected_failures: Mapping[str, str] = NONE) -> list[Result]:
    """The result of every check of the kind, in order, and of every name in `expected_failures` that is no check.

    `make` gives a fresh component at each call: `make()`, and `make(folder)` for a store and a reader. An expected failure
    that passes counts as failed, as does one without a reason.
    """
    wrong = problems(kind, expected_failures)
    bad = {result.check for result in wrong}
    return [*wrong, *(_run(check, make, expected_failures) for check in checks(kind) if check.__name__ not in bad)]


def _run(check: Check, make: Make, expected_failures: Mapping[str, str]) -> Result:
    name = check.__name__
    reason = expected_failures.get(name)
    try:
        note = check(make)
    except Exception as error:
        if reason is not None:
            return Result(name, "expected", reason)
        shown = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return Result(name, "failed", shown)
    if reason is not None:
        return Result(
            name, "failed", f"passes, though it is expected to fail ({reason}): take it out of expected_failures"
        )
    return Result(name, "passed", note or "")


def raise_for_failures(results: Sequence[Result]) -> None:
    """Raise AssertionError with a line for each failed check; nothing where none failed."""
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        lines = "\n".join(f"  {result.check}: {result.message}" for result in failed)
        raise AssertionError(f"{len(failed)} of {len(results)} checks failed\n{lines}")


def parametrize_checks(
    kind: str, *makes: Make, expected_failures: Mapping[str, str] = NONE
) -> pytest.MarkDecorator | Callable[[Any], Any]:
    """A decorator for `def test(check, make): check(make)`, which runs every check of the kind on what every `make` gives.

    An expected failure is pytest's strict xfail. Raises ValueError, when the tests are collected, for a name that is no check
    and for an empty reason.
    """
    import pytest

    if not makes:
        raise ValueError(f"parametrize_checks({kind!r}) needs at least one function that makes a {kind}")
    wrong = problems(kind, expected_failures)
    if wrong:
        raise ValueError("; ".join(f"{result.check} {result.message}" for result in wrong))
    parameters = []
    for number, make in enumerate(makes, 1):
        for check in checks(kind):
            name = check.__name__
            marks = (
                [pytest.mark.xfail(reason=expected_failures[name], strict=True)] if name in expected_failures else []
            )
            suffix = f"-{number}" if len(makes) > 1 else ""
            parameters.append(pytest.param(check, make, marks=marks, id=f"{name}{suffix}"))
    return pytest.mark.parametrize(("check", "make"), parameters)

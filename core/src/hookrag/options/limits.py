"""The limits: what each lets through, says, and is called in a schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Limit(Protocol):
    """What a value must be."""

    def check(self, value: Any, /) -> str | None:
        """The text after the key, "must be at least 1, got 0"; None where the value is as it must be."""
        ...

    def schema(self) -> dict[str, Any]:
        """The keywords of JSON Schema that say the same."""
        ...


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _compares(holds: Callable[[], bool]) -> bool:
    try:
        return bool(holds())
    except (TypeError, ValueError):  # text beside a number, an array
        return False


def _with(unit: str) -> str:
    return f" {unit}" if unit else ""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number from `least`; `unit` is for the error: "must be at least 0 sentences, got -1"."""

    least: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value >= self.least) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least}

    def outside(self) -> tuple[Any, ...]:
        return self.least - 1, math.nextafter(self.least, -math.inf), math.nan

    def __str__(self) -> str:
        return f"at least {self.least}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class Above:
    """A number above `limit`."""

    limit: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value > self.limit) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"exclusiveMinimum": self.limit}

    def outside(self) -> tuple[Any, ...]:
        return self.limit, float(self.limit), math.nan

    def __str__(self) -> str:
        return f"above {self.limit}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A number up to `most`."""

    most: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value <= self.most) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"maximum": self.most}

    def outside(self) -> tuple[Any, ...]:
        return self.most + 1, math.nextafter(self.most, math.inf), math.nan

    def __str__(self) -> str:
        return f"at most {self.most}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `least` to `most`, both allowed."""

    least: float
    most: float

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: self.least <= value <= self.most) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least, "maximum": self.most}

    def outside(self) -> tuple[Any, ...]:
        near = math.nextafter(self.least, -math.inf), math.nextafter(self.most, math.inf)
        return self.least - 1, self.most + 1, *near, math.nan

    def __str__(self) -> str:
        return f"in [{self.least}, {self.most}]"


@dataclass(frozen=True, slots=True)
class Finite:
    """A number that is neither infinite nor NaN, which TOML can write."""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: math.isfinite(value)) else f"must be a finite number, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {}  # JSON has no others

    def outside(self) -> tuple[Any, ...]:
        return math.inf, -math.inf, math.nan

    def __str__(self) -> str:
        return "finite"


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """Text, a list or a table with something in it; `what` a list has is for the error: "must name at least one retriever"."""

    what: str = ""

    def check(self, value: Any, /) -> str | None:
        if _compares(lambda: len(value) > 0):
            return None
        return f"must name at least one {self.what}, got {shown(value)}" if self.what else "must not be empty"

    def schema(self) -> dict[str, Any]:
        return {"minLength": 1, "minItems": 1, "minProperties": 1}  # each holds for one type only

    def outside(self) -> tuple[Any, ...]:
        return "", [], {}

    def __str__(self) -> str:
        return "not empty"


@dataclass(frozen=True, slots=True)
class Matching:
    """Text that a regular expression matches as a whole; `words` say what that is: "one character or "tab""."""

    pattern: str
    words: str

    def check(self, value: Any, /) -> str | None:
        fits = isinstance(value, str) and re.fullmatch(self.pattern, value)
        return None if fits else f"must be {self.words}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"pattern": f"^(?:{self.pattern})$"}

    def __str__(self) -> str:
        return self.words

"""What a caller asks, made into queries: texts numbered, filters parsed, numbers checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from hookrag.errors import ConfigError, HookragError
from hookrag.filters import FieldType, Filter, both, parse, validate
from hookrag.values import Query

Questions = Sequence[str | Query]


class Options(TypedDict, total=False):
    """The options of `Pipeline.retrieve`, which is where they are explained."""

    where: str | Filter | None
    scope: str | Filter | None
    timeout: float | None
    explain: bool


def filter_of(where: str | Filter | None, fields: Mapping[str, FieldType]) -> Filter | None:
    """The filter that a text or a tree stands for. Raises FilterError where it is none or names a field not declared."""
    if where is None:
        return None
    parsed = parse(where) if isinstance(where, str) else where
    validate(parsed, fields)
    return parsed


def queries_of(
    asked: Questions, where: str | Filter | None, scope: Filter | None, fields: Mapping[str, FieldType]
) -> list[Query]:
    """The queries, each limited by its own filter, by `where` and by the scope. Raises HookragError where they are none."""
    if isinstance(asked, str) or not isinstance(asked, Sequence):
        raise HookragError(f"queries is a list: write [{asked!r}]")
    limit = both(scope, filter_of(where, fields))
    made = []
    for number, query in enumerate(asked, 1):
        if isinstance(query, str):
            made.append(Query(str(number), query, limit))
        elif isinstance(query, Query):
            own = both(filter_of(query.where, fields), limit)
            made.append(query if own is query.where else replace(query, where=own))
        else:
            raise HookragError(f"query {number} is a {type(query).__name__}; give text or a hookrag.Query")
    if len({query.id for query in made}) != len(made):
        raise HookragError("two queries of the batch have the same id; ids tell their answers apart")
    return made


def k_of(k: int | None, otherwise: int) -> int:
    """How many chunks are wanted. Raises ConfigError."""
    kept = otherwise if k is None else k
    if isinstance(kept, bool) or not isinstance(kept, int) or kept < 0:
        raise ConfigError([f"k must be a whole number of at least 0, got {kept!r}"])
    return kept


def seconds_of(timeout: float | None, otherwise: float | None) -> float | None:
    """The time for a question, in which the first one opens what it needs; `open` and indexing have all the time.

    Raises ConfigError.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | None) or timeout != timeout:
        raise ConfigError([f"timeout must be a number of seconds, got {timeout!r}"])
    return otherwise if timeout is None else timeout

"""Filters for Elasticsearch: metadata become terms of one keyword field, and a filter becomes a tree of queries for them.

A field of the index for each key of the metadata would meet the server's limit of 1,000 fields, fix the type of a key by the
first value that comes, and cut off long strings. So the mapping never changes: every facet (`hookrag_stores.facets`) is a term
that says its key, kind and value, and the order of the terms of one kind is the order of the values:

    lang:s            there is a string "lang"           year:n            there is a number "year"
    lang:s=en         which is "en"                      year:n=c09f90...  which is this one, in a form that sorts
    draft:b=true      a bool (draft:b: there is one)     tags:x            something else is there: a list, an object
    tags:e=snews      a list "tags" has the string "news"
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, assert_never

from hookrag import HookragError
from hookrag.filters import And, Filter, Not, Or, Value
from hookrag_stores import facets as shared
from hookrag_stores.facets import (
    Begins,
    Condition,
    Has,
    HasElement,
    NoneOf,
    OneOf,
    Ordered,
    after,
    conditions,
)
from hookrag_stores.numbers import sortable

FIELD = "facets"
MAX_TEXT = 200
"""So many characters of a string are in its term; the rest is in a digest. The server takes bounds of at most 1,000 bytes."""

Json = dict[str, Any]

_MAX_NAME = 150
_NONE: Json = {"match_none": {}}
_RANGES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
# The server parses 30 levels of queries and a filter may have more. It counts anew inside a query that comes as base64.
_LEVELS = 8


def facets(metadata: Mapping[str, object]) -> list[str]:
    """The terms of metadata, each once.

    >>> facets({"lang": "en", "draft": False, "note": None, "tags": ["news"]})
    ['lang:s', 'lang:s=en', 'draft:b', 'draft:b=false', 'tags:x', 'tags:e=snews']
    >>> facets({"year": 2020}) == facets({"year": 2020.0})
    True
    """
    made: dict[str, None] = {}
    for field, kind, value, element in shared.facets(metadata):
        name = _name(field)
        if kind == "x" or value is None:
            made[f"{name}:x"] = None
        elif element:
            made[f"{name}:e={kind}{_text(value)}"] = None
        else:
            made[f"{name}:{kind}"] = made[f"{name}:{kind}={_text(value)}"] = None
    return list(made)


def query(tree: Filter) -> Json:
    """The query that is true for exactly the rows whose metadata `hookrag.filters.matches`.

    Raises HookragError for a string of more than 200 characters where strings are ordered or begin with it.
    """
    return _query(tree, 1)


def _query(tree: Filter, level: int) -> Json:
    match tree:
        case And(parts):
            made: Json = {"bool": {"filter": [_query(part, level + 1) for part in parts]}}
        case Or(parts):
            made = _any([_query(part, level + 1) for part in parts])
        case Not(part):
            made = {"bool": {"must_not": [_query(part, level + 1)]}}
        case _:
            return _alternatives(conditions(tree))
    if level % _LEVELS:
        return made
    return {"wrapper": {"query": b64encode(json.dumps(made).encode()).decode()}}


def _alternatives(alternatives: Sequence[Condition]) -> Json:
    """The query for rows of which one holds: all that are a term each are one query."""
    terms: list[str] = []
    others: list[Json] = []
    for one in alternatives:
        name = _name(one.field)
        match one:
            case Has(_, kind):
                terms.append(f"{name}:{kind}")
            case OneOf(_, kind, values):
                terms += [f"{name}:{kind}={_text(value)}" for value in values]
            case HasElement(_, kind, value):
                terms.append(f"{name}:e={kind}{_text(value)}")
            case NoneOf(_, kind, values):
                others.append(_but(f"{name}:{kind}", [f"{name}:{kind}={_text(value)}" for value in values]))
            case Ordered(field, kind, op, value):
                _check_length(field, op, value)
                # "=" begins the terms of this kind, ">" is the character after it.
                bounds = {"gte": f"{name}:{kind}=", "lt": f"{name}:{kind}>"}
                side = _RANGES[op]
                bounds.pop("lt" if side.startswith("l") else "gte")
                others.append({"range": {FIELD: {**bounds, side: f"{name}:{kind}={_text(value)}"}}})
            case Begins(field, prefix):
                _check_length(field, "startswith", prefix)
                first = f"{name}:s={prefix}"
                others.append({"range": {FIELD: {"gte": first, "lt": after(first)}}})
            case _:
                assert_never(one)
    made = [*others, _one_of(terms)] if terms or not others else others
    return made[0] if len(made) == 1 else _any(made)


def _one_of(terms: Sequence[str]) -> Json:
    return {"terms": {FIELD: list(terms)}} if terms else _NONE


def _but(there: str, terms: Sequence[str]) -> Json:
    return {"bool": {"filter": [_one_of([there])], "must_not": [_one_of(terms)]}}


def _any(queries: Sequence[Json]) -> Json:
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _check_length(field: str, used: str, value: Value) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise HookragError(
            f"filter on {field[:80]!r}: {used} got a string of {len(value):,} characters, expected at most {MAX_TEXT:,}: on "
            "Elasticsearch a longer one can be tested by == != in, not in and contains only"
        )


def _name(field: str) -> str:
    """The field as it stands before the colon; a long one as its digest."""
    name = field.replace("%", "%25").replace(":", "%3A").replace("#", "%23")
    encoded = name.encode("utf-8", "surrogatepass")
    return name if len(encoded) <= _MAX_NAME else "#" + blake2b(encoded, digest_size=16).hexdigest()


def _text(value: Value) -> str:
    """What stands for a value in the terms of its kind: equal values have equal ones, and they sort as the values do."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return sortable(value)
    # What is cut off makes the term longer than MAX_TEXT, so that it equals no shorter string, and sorts as the whole does
    # beside every string of at most MAX_TEXT characters.
    if len(value) <= MAX_TEXT:
        return value
    return value[:MAX_TEXT] + "\0" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

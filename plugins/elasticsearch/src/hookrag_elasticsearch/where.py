"""Filters for Elasticsearch: metadata become terms of one keyword field, and a filter becomes a tree of queries for them.

A field of the index for each key of the metadata would meet the server's limit of 1,000 fields, fix the type of a key by the
first value that comes, and cut off long strings. So the mapping never changes: every value is a term that says its key, kind
and value, and the order of the terms of one kind is the order of the values:

    lang:s            there is a string "lang"           year:n            there is a number "year"
    lang:s=en         which is "en"                      year:n=c09f90...  which is this one, in a form that sorts
    draft:b=true      a bool (draft:b: there is one)     tags:x            something else is there: a list, an object
    tags:e=snews      a list "tags" has the string "news"
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from struct import pack, unpack
from typing import Any, assert_never

from hookrag import HookragError
from hookrag.filters import And, Compare, Contains, Exists, Filter, In, Not, Or, StartsWith, Value

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
    for field, value in metadata.items():
        if value is None or (isinstance(value, list | tuple) and not value):
            continue
        name = _name(field)
        scalar = _scalar(value)
        if scalar is not None:
            made[f"{name}:{scalar[0]}"] = made[f"{name}:{scalar[0]}={scalar[1]}"] = None
            continue
        made[f"{name}:x"] = None
        if isinstance(value, list | tuple):
            items = map(_scalar, value)
            made.update((f"{name}:e={item[0]}{item[1]}", None) for item in items if item is not None)
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
            return _condition(tree)
    if level % _LEVELS:
        return made
    return {"wrapper": {"query": b64encode(json.dumps(made).encode()).decode()}}


def _condition(tree: Compare | In | Contains | StartsWith | Exists) -> Json:
    name = _name(tree.field)
    match tree:
        case Compare(_, op, value):
            kind, text = _literal(value)
            if op == "==":
                return _one_of([f"{name}:{kind}={text}"])
            if op == "!=":
                return _but(f"{name}:{kind}", [f"{name}:{kind}={text}"])
            _check_length(tree.field, op, value)
            # "=" begins the terms of this kind, ">" is the character after it.
            bounds = {"gte": f"{name}:{kind}=", "lt": f"{name}:{kind}>"}
            side = _RANGES[op]
            bounds.pop("lt" if side.startswith("l") else "gte")
            return {"range": {FIELD: {**bounds, side: f"{name}:{kind}={text}"}}}
        case In(_, values, negated):
            literals = [_literal(value) for value in values]
            terms = [f"{name}:{kind}={text}" for kind, text in literals]
            if not negated:
                return _one_of(terms)
            kinds = sorted({kind for kind, _ in literals} or {"s", "n", "b"})
            if not literals:
                return _one_of([f"{name}:{kind}" for kind in kinds])
            # != is false across kinds, so that nothing differs from both a string and a number.
            return _but(f"{name}:{kinds[0]}", terms) if len(kinds) == 1 else _NONE
        case Contains(_, value):
            return _one_of([f"{name}:e=" + "".join(_literal(value))])
        case StartsWith(_, prefix):
            _check_length(tree.field, "startswith", prefix)
            return {"range": {FIELD: {"gte": f"{name}:s={prefix}", "lt": _after(f"{name}:s={prefix}")}}}
        case Exists():
            return _one_of([f"{name}:{kind}" for kind in "snbx"])
        case _:
            assert_never(tree)


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


def _after(prefix: str) -> str:
    """The first string after all that begin with the prefix."""
    kept = prefix.rstrip("\U0010ffff")
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if last == 0xD800 else last)


def _name(field: str) -> str:
    """The field as it stands before the colon; a long one as its digest."""
    name = field.replace("%", "%25").replace(":", "%3A").replace("#", "%23")
    encoded = name.encode("utf-8", "surrogatepass")
    return name if len(encoded) <= _MAX_NAME else "#" + blake2b(encoded, digest_size=16).hexdigest()


def _literal(value: Value) -> tuple[str, str]:
    scalar = _scalar(value)
    assert scalar is not None, "literals of a filter are strings, finite numbers and bools"
    return scalar


def _scalar(value: object) -> tuple[str, str] | None:
    """The kind and the term of a value that can be compared; equal values have equal ones."""
    if isinstance(value, str):
        return "s", _text(value)
    if isinstance(value, bool):
        return "b", "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "n", _number(value)
    return None


def _text(value: str) -> str:
    # What is cut off makes the term longer than MAX_TEXT, so that it equals no shorter string, and sorts as the whole does
    # beside every string of at most MAX_TEXT characters.
    if len(value) <= MAX_TEXT:
        return value
    return value[:MAX_TEXT] + "\0" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _number(value: int | float) -> str:
    """19 hexadecimal digits that sort as the numbers do, ints and floats together.

    They are the greatest float of 64 bits that is not above the number, its bits made to sort, and what is left to it. An int
    that no 64 bits hold has its place between the floats around it, which is all that a filter can ask for.

    >>> numbers = [-1e300, -2.5, -1, 0, 0.1, 1, 2**53, 2**53 + 1, 2.0**53 + 2, 2**63 - 1, 2**63, 10**400]
    >>> [_number(one) for one in numbers] == sorted(_number(one) for one in numbers)
    True
    >>> _number(1) == _number(1.0), _number(0.0) == _number(-0.0)
    (True, True)
    """
    try:
        floor = float(value)
    except OverflowError:
        floor = math.inf if value > 0 else -math.inf
    if floor > value:
        floor = math.nextafter(floor, -math.inf)
    (bits,) = unpack(">Q", pack(">d", floor + 0.0))  # of 0.0 and -0.0, which are equal, both become 0.0
    bits = bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63
    rest = 0xFFF if math.isinf(floor) else min(int(value) - int(floor), 0xFFF) if isinstance(value, int) else 0
    return f"{bits:016x}{rest:03x}"

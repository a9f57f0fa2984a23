"""Filters for Milvus: metadata become typed facets, and a filter becomes an expression over them that means the same.

Engines disagree about values of mixed types, about missing keys under `not` and `!=`, and about wildcards. So a facet's
name says its type and holds only letters, digits and underscores; each condition first asks whether its facet exists;
negation is pushed down to the conditions; prefixes are ranges. What is left is where the engines agree.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import assert_never

from hookrag.filters import And, Compare, Contains, Exists, Filter, In, Not, Operator, Or, StartsWith, Value

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

Facet = str | int | float | bool
Atom = tuple[str, str | None]
"""A facet that must exist and a condition on it; None where existing is enough."""

_SCALARS = ("s", "i", "f", "b")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_PLAIN = re.compile(r"[A-Za-z0-9]")
_NEVER, _ALWAYS = 'pk == ""', 'pk != ""'


def literal(value: Value) -> str:
    """A value as Milvus reads it: five characters are escaped, everything else is raw UTF-8.

    >>> print(literal('say "hi"'), literal(-2.5), literal(True))
    "say \\"hi\\"" -2.5 true
    """
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def one_of(field: str, values: Sequence[str]) -> str:
    """The expression that selects rows by a column of strings."""
    return f"{field} in [{', '.join(map(literal, values))}]"


def facets(metadata: Mapping[str, object]) -> dict[str, Facet]:
    """What can be filtered on, as keys of Milvus's dynamic field; their names are made by `_name`.

    s_: a string; i_: a number that is a whole one of 64 bits; f_: any other finite number; b_: a bool; x_: something else that
    exists; c_: one for each string, number and bool in a list. Raises ValueError for an integer that neither 64 bits nor a
    float hold.

    >>> facets({"year": 2020.0, "lang": "en", "note": None, "tags": []})
    {'i_year': 2020, 's_lang': 'en'}
    """
    made: dict[str, Facet] = {}
    for field, value in metadata.items():
        if value is None or (isinstance(value, list | tuple) and not value):
            continue
        scalar = _scalar(value)
        if scalar is not None:
            made[_name(scalar[0], field)] = scalar[1]
            continue
        made[_name("x", field)] = True
        if isinstance(value, list | tuple):
            found = (_scalar(item) for item in value)
            made.update((_element(field, item), True) for item in found if item is not None)
    return made


def expression(tree: Filter) -> str:
    """The Milvus expression that is true for exactly the rows whose metadata `hookrag.filters.matches`."""
    return _expression(tree, negated=False)


def _expression(tree: Filter, *, negated: bool) -> str:
    match tree:
        case And(parts) | Or(parts):
            joint = "or" if isinstance(tree, Or) != negated else "and"
            return _joined(joint, [_expression(part, negated=negated) for part in parts])
        case Not(part):
            return _expression(part, negated=not negated)
        case _:
            atoms = _atoms(tree)
    if not negated:
        return _joined("or", [_meets(*atom) for atom in atoms]) if atoms else _NEVER
    return _joined("and", [_fails(*atom) for atom in atoms]) if atoms else _ALWAYS


def _meets(facet: str, condition: str | None) -> str:
    there = f'(exists $meta["{facet}"])'
    return there if condition is None else f"({there} and {condition})"


def _fails(facet: str, condition: str | None) -> str:
    absent = f'not (exists $meta["{facet}"])'
    return absent if condition is None else f"({absent} or not {condition})"


def _joined(joint: str, parts: Sequence[str]) -> str:
    # Balanced: a chain of ten thousand alternatives would be as many levels deep where an engine's parser nests them.
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(joint, parts[:middle])} {joint} {_joined(joint, parts[middle:])})"


def _atoms(tree: Compare | In | Contains | StartsWith | Exists) -> list[Atom]:
    """The alternatives of which one must hold; each condition is in parentheses or a single comparison."""
    field = tree.field
    match tree:
        case Compare(_, op, value):
            if isinstance(value, str):
                return [_compared("s", field, op, value)]
            if isinstance(value, bool):
                return [_compared("b", field, op, value)]
            return _numbers(field, op, value)
        case In(_, values, negated):
            return _not_in(field, values) if negated else _in(field, values)
        case Contains(_, value):
            scalar = _scalar(value)
            assert scalar is not None, "literals of a filter are strings, numbers and bools"
            return [(_element(field, scalar), None)]
        case StartsWith(_, prefix):
            return [(_name("s", field), _starts(_name("s", field), prefix))]
        case Exists():
            return [(_name(kind, field), None) for kind in (*_SCALARS, "x")]
        case _:
            assert_never(tree)


def _compared(kind: str, field: str, op: Operator, value: Value) -> Atom:
    name = _name(kind, field)
    return name, f'($meta["{name}"] {op} {literal(value)})'


def _numbers(field: str, op: Operator, value: int | float) -> list[Atom]:
    whole = _is_whole(value)
    same = int(value) if whole else value
    kind, other = ("i", "f") if whole else ("f", "i")
    if op == "==":
        return [_compared(kind, field, op, same)]
    if op == "!=":
        return [_compared(kind, field, op, same), (_name(other, field), None)]
    if whole:
        # Between 2**53 and 2**63 there is no f_ facet (every float there is a whole number of 64 bits), so any of those
        # serves as the bound, and one is chosen that a float holds.
        bound = float(same) if abs(same) <= 2**53 else math.copysign(2.0**60, same)
        return [_compared("i", field, op, same), _compared("f", field, op, bound)]
    among_floats = _compared("f", field, op, same)
    below = op in ("<", "<=")
    if abs(same) >= 2**63:
        return [among_floats, (_name("i", field), None)] if below == (same > 0) else [among_floats]
    nearest = math.floor(same) if below else math.ceil(same)
    return [among_floats, _compared("i", field, "<=" if below else ">=", nearest)]


def _in(field: str, values: Sequence[Value]) -> list[Atom]:
    atoms: list[Atom] = []
    for kind, members in _by_kind(values).items():
        atoms.append((_name(kind, field), _any_of(kind, field, members)))
    return atoms


def _not_in(field: str, values: Sequence[Value]) -> list[Atom]:
    members = _by_kind(values)
    kinds = {"n" if kind in "if" else kind for kind in members}
    if len(kinds) > 1:
        return []  # != is false across kinds, so nothing differs from both a string and a number
    allowed = {"n": ("i", "f"), "s": ("s",), "b": ("b",)}[kinds.pop()] if kinds else _SCALARS
    return [
        (_name(kind, field), f"(not {_any_of(kind, field, members[kind])})" if kind in members else None)
        for kind in allowed
    ]


def _any_of(kind: str, field: str, values: Sequence[Facet]) -> str:
    # A JSON key takes no `in` on Milvus Lite.
    name = _name(kind, field)
    return "(" + _joined("or", [f'$meta["{name}"] == {literal(value)}' for value in values]) + ")"


def _by_kind(values: Sequence[Value]) -> dict[str, list[Facet]]:
    grouped: dict[str, list[Facet]] = {}
    for value in dict.fromkeys(scalar for scalar in map(_scalar, values) if scalar is not None):
        grouped.setdefault(value[0], []).append(value[1])
    return grouped


def _starts(name: str, prefix: str) -> str:
    """The range of strings that start so: by code point, which is how strings are ordered on every engine."""
    bounds = f'$meta["{name}"] >= {literal(prefix)}'
    end = prefix.rstrip("\U0010ffff")
    if end:
        last = ord(end[-1]) + 1
        after = end[:-1] + chr(0xE000 if last == 0xD800 else last)
        bounds += f' and $meta["{name}"] < {literal(after)}'
    return f"({bounds})"


def _scalar(value: object) -> tuple[str, Facet] | None:
    """The kind and the canonical form of a value that can be compared; numbers that are equal become one facet."""
    if isinstance(value, str):
        return "s", value
    if isinstance(value, bool):
        return "b", value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, int | float):
        return None
    if _is_whole(value):
        return "i", int(value)
    try:
        same = float(value)
    except OverflowError:
        same = math.inf
    if same != value:
        raise ValueError("an integer that neither 64 bits nor a float hold: write it as text")
    return "f", same


def _is_whole(value: int | float) -> bool:
    return INT_MIN <= value <= INT_MAX and int(value) == value


@lru_cache(maxsize=10_000)
def _name(kind: str, field: str) -> str:
    """A facet's name: whatever is no ASCII letter or digit is its code point in hexadecimal between underscores.

    >>> _name("s", "first name")
    's_first_20_name'
    """
    return kind + "_" + "".join(char if _PLAIN.match(char) else f"_{ord(char):x}_" for char in field)


def _element(field: str, item: tuple[str, Facet]) -> str:
    # A hash, because elements are of any length and number; ASCII JSON keeps the parts apart.
    return "c_" + blake2b(json.dumps([field, *item]).encode(), digest_size=16).hexdigest()

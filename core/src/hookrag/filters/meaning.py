"""What a filter means: evaluation, rendering, and the declared types; the rules are in the docstring of the package."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, assert_never

from hookrag.filters.lexer import quoted, render_name
from hookrag.filters.parser import parse_text
from hookrag.filters.tree import (
    INT_MAX,
    INT_MIN,
    KIND_NAMES,
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    In,
    Kind,
    Not,
    Operator,
    Or,
    StartsWith,
    Value,
    described,
    has_lone_surrogate,
    kind_of,
    problem,
    shown,
)

FieldType: TypeAlias = Literal["keyword", "int", "float", "bool", "keywords"]

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KIND_OF_TYPE: dict[FieldType, Kind] = {
    "keyword": "text",
    "int": "number",
    "float": "number",
    "bool": "bool",
    "keywords": "text",
}


def parse(text: str) -> Filter:
    """The tree of a filter's text.

    At most 64 kB, 10,000 values and 50 levels of `not` and parentheses; the time is linear in the length. FilterError
    shows the place of the leftmost mistake.

    >>> parse('lang == "en" and year >= 2020')
    And(parts=(Compare(field='lang', op='==', value='en'), Compare(field='year', op='>=', value=2020)))
    """
    return parse_text(text)


def render(tree: Filter) -> str:
    """The text of a tree, always the same for equal trees: `parse(render(tree)) == tree`.

    Only a tree made in code can render to more text or values than `parse` takes.

    >>> render(Not(Or((Compare("lang", "==", "en"), In("first name", ("O'Hara",))))))
    'not (lang == "en" or `first name` in ["O\\'Hara"])'
    """
    match tree:
        case Compare(field, op, value):
            return f"{render_name(field)} {op} {_render_value(value)}"
        case In(field, values, negated):
            listed = ", ".join(map(_render_value, values))
            return f"{render_name(field)} {'not in' if negated else 'in'} [{listed}]"
        case Contains(field, value):
            return f"{render_name(field)} contains {_render_value(value)}"
        case StartsWith(field, prefix):
            return f"{render_name(field)} startswith {_render_value(prefix)}"
        case Exists(field):
            return f"exists({render_name(field)})"
        case And(parts):
            return " and ".join(f"({render(part)})" if isinstance(part, Or) else render(part) for part in parts)
        case Or(parts):
            return " or ".join(map(render, parts))
        case Not(part):
            return f"not ({render(part)})" if isinstance(part, And | Or) else f"not {render(part)}"
        case _:
            assert_never(tree)


def _render_value(value: Value) -> str:
    if isinstance(value, str):
        return quoted(value, '"')
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value + 0)  # of 0.0 and -0.0, which are equal, both are written 0.0


def matches(tree: Filter, metadata: Mapping[str, object]) -> bool:
    """Whether `metadata` satisfies the filter, by the rules of this module; it never raises, whatever the values are.

    >>> matches(parse("year != 2020"), {"year": 2021}), matches(parse("year != 2020"), {})
    (True, False)
    >>> matches(parse("not year == 2020"), {})
    True
    """
    match tree:
        case Compare(field, op, value):
            found = metadata.get(field)
            return kind_of(found) == kind_of(value) and _COMPARE[op](found, value)
        case In(field, _, negated):
            found = metadata.get(field)
            kind = kind_of(found)
            if kind is None:
                return False
            if negated:
                return tree.kinds <= {kind} and (kind, found) not in tree.keys
            return (kind, found) in tree.keys
        case Contains(field, value):
            found = metadata.get(field)
            kind = kind_of(value)
            return isinstance(found, list | tuple) and any(kind_of(item) == kind and item == value for item in found)
        case StartsWith(field, prefix):
            found = metadata.get(field)
            return isinstance(found, str) and found.startswith(prefix)
        case Exists(field):
            found = metadata.get(field)
            return not (found is None or (isinstance(found, list | tuple) and not found))
        case And(parts):
            return all(matches(part, metadata) for part in parts)
        case Or(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
        case _:
            assert_never(tree)


def both(first: Filter | None, second: Filter | None) -> Filter | None:
    """The filter that is true where both are; None, which filters nothing, is neutral."""
    if first is None:
        return second
    if second is None:
        return first
    return And((first, second))


def fields(tree: Filter) -> frozenset[str]:
    """The names of all fields that the filter looks at."""
    match tree:
        case And(parts) | Or(parts):
            return frozenset().union(*map(fields, parts))
        case Not(part):
            return fields(part)
        case _:
            return frozenset({tree.field})


def validate(tree: Filter, declared: Mapping[str, FieldType]) -> None:
    """Raise FilterError for the first condition on an undeclared field, or that no value of its type could meet."""
    match tree:
        case And(parts) | Or(parts):
            for part in parts:
                validate(part, declared)
        case Not(part):
            validate(part, declared)
        case _:
            if tree.field not in declared:
                raise _undeclared(tree.field, declared)
            _validate_condition(tree, declared[tree.field])


def _undeclared(name: str, declared: Mapping[str, FieldType]) -> FilterError:
    import difflib

    names = sorted(declared)
    near = difflib.get_close_matches(name[:100], names, n=1)
    listed = ", ".join(map(render_name, names[:10])) + (", ..." if len(names) > 10 else "")
    return problem(
        "filter on a field that is not declared",
        got=shown(render_name(name)),
        expected=f"one of {shown(listed, 200)}" if names else "no filter: no fields are declared",
        hint=f"did you mean {render_name(near[0])}?" if near else "only fields of [index.fields] can be filtered on",
    )


def _validate_condition(tree: Compare | In | Contains | StartsWith | Exists, declared: FieldType) -> None:
    name = shown(render_name(tree.field))
    used: str
    values: tuple[Value, ...] = ()
    match tree:
        case Exists():
            return
        case Compare(_, op, value):
            allowed = declared != "keywords" and not (declared == "bool" and op not in {"==", "!="})
            used, values = op, (value,)
        case In(_, values, negated):
            allowed = declared != "keywords"
            used = "not in" if negated else "in"
        case Contains(_, value):
            allowed = declared == "keywords"
            used, values = "contains", (value,)
        case StartsWith():
            allowed = declared == "keyword"
            used = "startswith"
    if not allowed:
        operators = {
            "keyword": "== != < <= > >= in, not in or startswith",
            "int": "== != < <= > >= in or not in",
            "float": "== != < <= > >= in or not in",
            "bool": "== != in or not in",
            "keywords": "contains or exists",
        }
        raise problem(
            f"filter on {name}, a field of type {declared}",
            got=used,
            expected=operators[declared],
            hint=f'a list is tested by: {name} contains "x"' if declared == "keywords" else "",
        )
    wanted = _KIND_OF_TYPE[declared]
    for value in values:
        if kind_of(value) != wanted:
            rendered = _render_value(value)
            raise problem(
                f"filter on {name}, a field of type {declared}",
                got=f"{shown(rendered)} ({type(value).__name__})",
                expected=f"a {KIND_NAMES[wanted]}",
                hint=f'write "{shown(rendered)}"' if wanted == "text" else "numbers, true and false have no quotes",
            )


def check_value(name: str, declared: FieldType, value: object) -> None:
    """Raise FilterError for a metadata value that is not of its field's declared type.

    None passes, as missing. An int has at most 64 bits, and passes for a float where a float holds it exactly.
    """
    if value is None or _has_type(declared, value):
        return
    expected = {
        "keyword": "a string that UTF-8 can hold",
        "int": f"an int from {INT_MIN} to {INT_MAX}",
        "float": "a finite number that a float of 64 bits holds exactly",
        "bool": "true or false",
        "keywords": "a list of strings that UTF-8 can hold",
    }
    got = described(value)
    if isinstance(value, list | tuple) and declared == "keywords":
        got = "a list with " + next(described(item) for item in value if not _has_type("keyword", item))
    raise problem(
        f"metadata field {shown(render_name(name))}, declared as {declared}",
        got=got,
        expected=expected[declared],
        hint="mend the value, or declare another type under [index.fields]",
    )


def _has_type(declared: FieldType, value: object) -> bool:
    match declared:
        case "keyword":
            return isinstance(value, str) and not has_lone_surrogate(value)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX
        case "float":
            if isinstance(value, bool):
                return False
            if isinstance(value, int):
                return INT_MIN <= value <= INT_MAX and int(float(value)) == value
            return isinstance(value, float) and math.isfinite(value)
        case "bool":
            return isinstance(value, bool)
        case "keywords":
            return isinstance(value, list | tuple) and all(_has_type("keyword", item) for item in value)
        case _:
            assert_never(declared)

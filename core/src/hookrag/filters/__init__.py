"""Filters over metadata: a small expression language, its tree, and what it means.

`lang == "en" and (year >= 2020 or not exists(year))` is parsed once to a tree, which stores translate with parameters
and whose meaning is `matches`. The grammar is in `parser`. The rules of evaluation:

- A comparison, `in`, `contains` or `startswith` on a missing field is false, and so are `!=` and `not in`:
  `lang != "en"` is true where there is another language, `not lang == "en"` also where there is none. None is missing.
- Values compare within a kind: strings, numbers (int and float alike), bools. Across kinds everything is false, `!=`
  too. A bool is no number, and has no order. NaN and infinity compare with nothing.
- Strings are ordered by code point, so ISO dates are ordered as dates. Neither case nor Unicode form is folded.
- A field is one key of the metadata; `a.b` is the key "a.b", not a path.
- `not` is plain negation, of a false that came from a missing field too.
"""

from __future__ import annotations

from hookrag.filters.meaning import (
    FieldType,
    both,
    check_value,
    fields,
    matches,
    parse,
    render,
    validate,
)
from hookrag.filters.tree import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    In,
    Not,
    Operator,
    Or,
    StartsWith,
    Value,
    contains_any,
)

__all__ = [
    "And",
    "Compare",
    "Contains",
    "Exists",
    "FieldType",
    "Filter",
    "FilterError",
    "In",
    "Not",
    "Operator",
    "Or",
    "StartsWith",
    "Value",
    "both",
    "check_value",
    "contains_any",
    "fields",
    "matches",
    "parse",
    "render",
    "validate",
]

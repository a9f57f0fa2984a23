"""Answers of a language model with checked citations, and the checker by itself.

For a generator of your own: let the model cite passages by number, `[1]` for the first; pass what it writes through `Markers`,
which takes out the numbers that no passage has; `citations` then gives the checked `Citation`s of the text.

- `citations(text, passages)`: all of them; in two steps, `claims` finds the sentences that cite, and `check` checks one;
- `align(quote, source)`: whether a source says what a quotation says, and where; `quotations` and `numbers` of a text;
- `neutralise(text, key)`: a passage made harmless for a prompt that sets it between fences with `fence_key`;
- `Cited`: the generator that is made of these.

What is named here is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookrag_citations.alignment import Alignment, align, numbers, quotations
    from hookrag_citations.checking import Claim, Markers, check, citations, claims
    from hookrag_citations.generator import Cited
    from hookrag_citations.prompt import fence_key, neutralise

_WHERE = {
    **dict.fromkeys(("Alignment", "align", "numbers", "quotations"), "alignment"),
    **dict.fromkeys(("Claim", "Markers", "check", "citations", "claims"), "checking"),
    "Cited": "generator",
    **dict.fromkeys(("fence_key", "neutralise"), "prompt"),
}

__all__ = [
    "Alignment",
    "Cited",
    "Claim",
    "Markers",
    "align",
    "check",
    "citations",
    "claims",
    "fence_key",
    "neutralise",
    "numbers",
    "quotations",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"hookrag_citations.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'hookrag_citations' has no attribute {name!r}")

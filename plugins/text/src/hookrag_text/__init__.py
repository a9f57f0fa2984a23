"""What chunkers, readers and generators know of text: Markdown, sentences, and characters as people count them.

Three modules of pure functions, loaded when they are first used, that give places in the text, in characters:

- `markdown`: what each line is (`lines`), the blocks that lines make (`blocks`), headings, front matter;
- `sentences`: where sentences begin and end (`spans`), in any script;
- `graphemes`: where a text may be cut without tearing what a reader sees as one character.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookrag_text import graphemes, markdown, sentences

__all__ = ["graphemes", "markdown", "sentences"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"hookrag_text.{name}")
    raise AttributeError(f"module 'hookrag_text' has no attribute {name!r}")

"""What embedders and rerankers promise that offer their tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hookrag.testing._kit import Check, Make, opened, require
from hookrag.values import Role

_ROLES: tuple[Role, ...] = ("query", "document")


def tokens_check(kind: str, texts: Sequence[str]) -> Check:
    """The check of a component that may offer `tokens` and `room`."""

    def check_tokens_are_spans(make: Make) -> str | None:
        """One that offers `tokens` gives the ordered spans of each text's tokens, and says how many there is `room` for."""
        with opened(kind, make) as one:
            if not one.can("tokens"):
                alone = hasattr(one.instance.component, "tokens")
                require(not alone, one, "has tokens() on the object alone", "write it as a method of the class")
                return "it does not offer its tokenizer"
            for role in _ROLES:
                require(
                    one.can("room") and one.room(role) > 0,
                    one,
                    f'has tokens() and no room("{role}") above 0',
                    "add the method room(role): the most tokens of one text that it reads in that role",
                )
            told = one.tokens(texts)
            require(
                len(told) == len(texts), one, f"gives tokens of {len(told)} texts for {len(texts)}", "one list each"
            )
            for text, spans in zip(texts, told, strict=True):
                inside = all(0 <= start <= end <= len(text) for start, end in spans)
                ordered = all(first[0] <= second[0] for first, second in pairwise(spans))
                require(
                    inside and ordered,
                    one,
                    f"gives {text[:30]!r} the token spans {spans[:6]}",
                    "(start, end) in characters of the text, in order, uncut",
                )
        return None

    return check_tokens_are_spans

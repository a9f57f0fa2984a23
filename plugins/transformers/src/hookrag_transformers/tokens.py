"""Texts to tokens, with the truncation of the reference implementations, cut here so that what is cut can be counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.models import ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Ids = NDArray[np.int32]
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sequences:
    """Tokenised inputs: ids and token types of each, and how many tokens each lost to truncation."""

    ids: tuple[Ids, ...]
    types: tuple[Ids, ...]
    cut: tuple[int, ...]

    @property
    def facts(self) -> dict[str, int]:
        """What to note of them: tokens read, inputs truncated, tokens cut."""
        return {
            "tokens": sum(map(len, self.ids)),
            "truncated": sum(1 for lost in self.cut if lost),
            "tokens_cut": sum(self.cut),
        }


@dataclass(frozen=True, slots=True)
class _Template:
    """The special tokens around one text, or around two: pieces[0] text pieces[1] (text pieces[2])."""

    pieces: tuple[Ids, ...]
    piece_types: tuple[Ids, ...]
    text_types: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


class TextTokenizer:
    """A model's own tokenizer. Safe from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        lower: bool = False,
        cut_from: Literal["left", "right"] = "right",
        closing: str | None = None,
    ) -> None:
        from tokenizers import Tokenizer
        from tokenizers.normalizers import Lowercase
        from tokenizers.normalizers import Sequence as Normalizers

        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no other
            raise ModelError(
                f"{path} is cut off or not a tokenizer ({error}): fetch or copy the model again"
            ) from error
        # A saved tokenizer may carry its training's padding and truncation.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if lower:
            # The tokenizer's part, not the text's: a special token that is written out in a text stays one.
            own = self._tokenizer.normalizer
            self._tokenizer.normalizer = Normalizers([Lowercase(), own]) if own else Lowercase()
        self._cut_from = cut_from
        # A token that must end every text, whether or not the saved tokenizer puts it there.
        end = None if closing is None else self._tokenizer.token_to_id(closing)
        if closing is not None and end is None:
            raise ModelError(
                f"{path} has no token {closing!r}, which tokenizer_config.json wants at the end of every text (add_eos_token): "
                "fetch or copy the model again"
            )
        self._single = _template(self._tokenizer.encode("a"), path, 1, end)
        self._pair = _template(self._tokenizer.encode("a", "a"), path, 2, end)

    @property
    def specials(self) -> int:
        """How many special tokens one text gets."""
        return self._single.size

    @property
    def pair_specials(self) -> int:
        """How many special tokens a pair of texts gets."""
        return self._pair.size

    @property
    def before(self) -> int:
        """How many special tokens stand before a text."""
        return len(self._single.pieces[0])

    def count(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return len(self._contents([text])[0])

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """The (start, end) characters of each token of each text, without special tokens."""
        encoded = self._tokenizer.encode_batch([self._clean(text) for text in texts], add_special_tokens=False)
        return [encoding.offsets for encoding in encoded]

    def singles(self, texts: Sequence[str], max_tokens: int) -> Sequences:
        """Each text with its special tokens, at most `max_tokens` in all."""
        room = max_tokens - self._single.size
        ids, types, cut = [], [], []
        for content in self._contents(texts):
            kept = self._truncated(content, room)
            one, kinds = _filled(self._single, [kept])
            ids.append(one)
            types.append(kinds)
            cut.append(len(content) - len(kept))
        return Sequences(tuple(ids), tuple(types), tuple(cut))

    def pairs(
        self, firsts: Sequence[str], seconds: Sequence[str], wanted: Sequence[tuple[int, int]], max_tokens: int
    ) -> Sequences:
        """The pairs (firsts[i], seconds[j]) for (i, j) in `wanted`; the second is cut ("only_second").

        Where a first text is so long that under a quarter of the room would be left for the second, it is cut to three
        quarters: the reference refuses such a pair where nothing at all is left.
        """
        room = max_tokens - self._pair.size
        left, right = self._contents(firsts), self._contents(seconds)
        ids, types, cut = [], [], []
        for i, j in wanted:
            first, second = left[i], right[j]
            if len(first) + len(second) > room:
                first = self._truncated(first, room * 3 // 4)
                second = self._truncated(second, room - len(first))
            one, kinds = _filled(self._pair, [first, second])
            ids.append(one)
            types.append(kinds)
            cut.append(len(left[i]) + len(right[j]) - len(first) - len(second))
        return Sequences(tuple(ids), tuple(types), tuple(cut))

    def _contents(self, texts: Sequence[str]) -> list[Ids]:
        encoded = self._tokenizer.encode_batch_fast([self._clean(text) for text in texts], add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encoded]

    def _truncated(self, content: Ids, room: int) -> Ids:
        if len(content) <= room:
            return content
        return content[:room] if self._cut_from == "right" else content[len(content) - room :]

    def _clean(self, text: str) -> str:
        # Half a surrogate pair cannot be encoded; U+FFFD in its place keeps all offsets.
        if not text.isascii() and _SURROGATE.search(text):
            return _SURROGATE.sub("\ufffd", text)
        return text


def _template(encoding: Encoding, path: Path, texts: int, end: int | None) -> _Template:
    """The special tokens of a tokenizer, read from what it makes of the shortest input."""
    places: list[int | None] = encoding.sequence_ids
    ids = np.array(encoding.ids, dtype=np.int32)
    types = np.array(encoding.type_ids, dtype=np.int32)
    starts = [places.index(text) for text in range(texts) if text in places]
    if len(starts) != texts or places.count(None) + texts != len(places):
        raise ModelError(
            f"{path}: the tokenizer does not make one token of 'a', so that its special tokens cannot be told"
        )
    edges = [-1, *starts, len(places)]
    pieces = [slice(before + 1, after) for before, after in pairwise(edges)]
    if end is not None and end not in ids[pieces[-1]]:
        ids, types = np.append(ids, np.int32(end)), np.append(types, types[-1:])
        pieces[-1] = slice(pieces[-1].start, len(ids))
    return _Template(
        tuple(ids[piece] for piece in pieces),
        tuple(types[piece] for piece in pieces),
        tuple(int(types[start]) for start in starts),
    )


def _filled(template: _Template, contents: Sequence[Ids]) -> tuple[Ids, Ids]:
    ids, types = [template.pieces[0]], [template.piece_types[0]]
    for at, content in enumerate(contents):
        ids += [content, template.pieces[at + 1]]
        types += [np.full(len(content), template.text_types[at], dtype=np.int32), template.piece_types[at + 1]]
    return np.concatenate(ids), np.concatenate(types)

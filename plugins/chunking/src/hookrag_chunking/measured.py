"""The chunkers that measure in words, characters or tokens: `characters`, `tokens`, `recursive` and `sections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, TypeAlias

from hookrag import AtLeast, Between, Chunk, Document, TokenizingEmbedder, checked
from hookrag_text.markdown import heading_text

from hookrag_chunking.cutting import Part, cut, whole
from hookrag_chunking.markdown import outline
from hookrag_chunking.recursive import levels_of
from hookrag_chunking.rulers import UnitName, ruler

Separators: TypeAlias = Annotated[list[str], "the coarsest first; these four names, or any text as it stands"]
Units: TypeAlias = Annotated[UnitName, "what `size` and `overlap` count"]
Size: TypeAlias = Annotated[
    int | None,
    AtLeast(1),
    "units in a chunk; without it 200 words, 1000 characters, or the embedder's window in tokens",
]
Counted: TypeAlias = Annotated[TokenizingEmbedder | None, 'whose tokens are counted; with `units = "tokens"` only']


class FixedCharacters:
    """Cuts documents into windows of `size` characters, each beginning with the last `overlap` characters of the one before.

    Never inside a grapheme cluster (UAX #29): a window is shorter where one would be torn, and a cluster that is longer than
    `size` is a chunk of its own.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        size: Annotated[int, AtLeast(1), "characters (code points) in a chunk"] = 1000,
        overlap: Annotated[
            int, AtLeast(0), "most characters that a chunk repeats from the one before; fewer than `size`"
        ] = 200,
    ) -> None:
        self.size = size
        self.overlap = overlap
        self._ruler = ruler("characters", size, overlap, None)

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return cut(documents, [whole(document) for document in documents], self._ruler(None))


class FixedTokens:
    """Cuts documents into windows of `size` tokens of the embedder, each beginning with the last `overlap` of the one before.

    Without `size`, as many as the embedder reads: its window without special tokens, its prefix and the title. With a `size`
    a chunk and its title never exceed the window either.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        embedder: Annotated[TokenizingEmbedder, "one that offers its tokenizer (`hookrag.TokenizingEmbedder`)"],
        size: Annotated[int | None, AtLeast(1), "tokens in a chunk; without it, as many as the embedder reads"] = None,
        overlap: Annotated[int, AtLeast(0), "tokens that a chunk repeats from the one before"] = 0,
    ) -> None:
        self.embedder = embedder
        self.size = size
        self.overlap = overlap
        self._ruler = ruler("tokens", size, overlap, embedder)

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return cut(documents, [whole(document) for document in documents], self._ruler(self.embedder))


class Recursive:
    """Cuts documents by separators, the coarsest first, and joins small pieces up to `size` units.

    A separator is "paragraph" (blank lines), "line", "sentence" (`hookrag_text.sentences`), "word", or any other text as it
    stands. Pieces that no separator cuts are cut between units. A chunk repeats up to `overlap` units of the one before, from
    the first place there where a separator cuts. Without `size`: 200 words, 1000 characters, or as many tokens as the
    embedder reads, where `units = "tokens"`.
    """

    version = 2

    @checked
    def __init__(
        self,
        *,
        separators: Separators = ["paragraph", "line", "sentence", "word"],  # noqa: B006  # never changed
        units: Units = "words",
        size: Size = None,
        overlap: Annotated[int, AtLeast(0), "units that a chunk may repeat from the one before; fewer than `size`"] = 0,
        embedder: Counted = None,
    ) -> None:
        if not separators or "" in separators:
            raise ValueError(
                f"separators must be a list of texts that are not empty, got {separators}: what none of them cuts is cut "
                f"between units anyway"
            )
        self.separators = separators
        self.units = units
        self.size = size
        self.overlap = overlap
        self.embedder = embedder
        self._ruler = ruler(units, size, overlap, embedder)
        self._levels = levels_of(separators)

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return cut(documents, [whole(document, self._levels) for document in documents], self._ruler(self.embedder))


class Sections:
    """Cuts Markdown, and whatever a reader writes as such, at its headings; their path is the context: "Guide > Install".

    The path begins with the document's title, unless that is the first heading. A section of more than `size` units is cut
    between blocks (paragraphs, lists, tables, fenced code), a block that is longer between list items, rows and lines of code,
    then between sentences, then words. A heading stays with what follows it. Front matter is no text.
    """

    version = 2

    @checked
    def __init__(
        self,
        *,
        depth: Annotated[int, Between(1, 6), "headings deeper than this do not cut"] = 6,
        units: Units = "words",
        size: Size = None,
        overlap: Annotated[
            int, AtLeast(0), "units that a chunk may repeat from the one before in its section; fewer than `size`"
        ] = 0,
        embedder: Counted = None,
    ) -> None:
        self.depth = depth
        self.units = units
        self.size = size
        self.overlap = overlap
        self.embedder = embedder
        self._ruler = ruler(units, size, overlap, embedder)

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return cut(documents, [list(self._parts(document)) for document in documents], self._ruler(self.embedder))

    def _parts(self, document: Document) -> Iterator[Part]:
        found = outline(document.text, depth=self.depth)
        levels = (*found.levels, *levels_of(["sentence", "word"]))
        for section in found.sections:
            yield Part(section.start, section.end, context_of(document.title, section.path), levels)


def context_of(title: str, path: Sequence[str]) -> str:
    """The title and the headings, outermost first; the title once where it is the first heading, with its marks or without.

    >>> context_of("Guide", ["Guide", "Install"]), context_of("Acme", ["Guide", "Install"]), context_of("Acme", [])
    ('Guide > Install', 'Acme > Guide > Install', 'Acme')
    """
    doubled = path and path[0].casefold() in (" ".join(title.split()).casefold(), heading_text(title).casefold())
    return " > ".join(path if doubled or not title else [title, *path])

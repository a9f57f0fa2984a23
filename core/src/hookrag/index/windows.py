"""Whether what chunkers cut fits what embedders, rerankers and generators read, by their own tokenizers.

Two hundred words are 230 tokens to one model and 700 to another, and models drop what is over without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Any

from hookrag.runtime.proxies import EmbedderProxy, GeneratorProxy, Proxy, RerankerProxy, StoreProxy
from hookrag.values import Chunk, Document

SAMPLE = 500
"""How many chunks of a store are looked at: those of the smallest ids, which are hashes and say nothing of their length."""


@dataclass(frozen=True, slots=True)
class Window:
    """How many tokens a component reads, and how many the chunks of a store have for it.

    `chunks` were looked at, rows of the index or, where there is none yet (not `indexed`), what the store's chunker makes of
    a page of English; for a generator, which reads k passages at once, the k longest of them. `room` is for each chunk, or for
    all passages together. `over` chunks are cut off or left out, which loses `cut` of all the `tokens`.
    """

    reader: str
    store: str
    indexed: bool
    chunks: int
    tokens: int
    longest: int
    room: int
    over: int
    cut: int
    together: bool = False

    @property
    def fits(self) -> bool:
        """Whether all of it is read."""
        return not self.over

    def to_json(self) -> dict[str, Any]:
        """The window as JSON values."""
        return {**asdict(self), "fits": self.fits}

    def __str__(self) -> str:
        of = f"chunks of {self.store}" if self.indexed else f"chunks that {self.store} would get of a page of English"
        if self.together:
            told = f"{self.reader} has room for {self.room:,} tokens of passages; the {self.chunks} longest {of} have "
            return told + (f"{self.tokens:,}" if self.fits else f"{self.tokens:,}: {self.over} would be left out")
        told = f"{self.reader} reads {self.room:,} tokens of a chunk; "
        if self.fits:
            return f"{told}the longest of {self.chunks:,} {of} has {self.longest:,}"
        return (
            f"{told}{self.over:,} of {self.chunks:,} {of} are longer, up to {self.longest:,}, and "
            f"{100 * self.cut / self.tokens:.3g} % of all tokens are cut off"
        )


def windows(components: Iterable[Proxy], stores: Sequence[StoreProxy], k: int) -> list[Window]:
    """The windows of all that tell theirs, beside the chunks that they get to read; opens them, and embeds nothing."""
    # Whatever searches a store, its chunks may come before any reranker and generator of the pipeline.
    shared = [one for one in components if isinstance(one, RerankerProxy | GeneratorProxy)]
    found: dict[tuple[int, int], Window] = {}
    for store in stores:
        chunks, indexed = _sample(store)
        if not chunks:
            continue
        for reader in [*store.embedders.values(), *shared]:
            # Stores that share a chunker have the same chunks.
            key = id(reader), id(store.chunker)
            for window in () if key in found else _window(reader, chunks, k):
                found[key] = Window(str(reader.step), str(store.step), indexed, *window)
    return list(found.values())


def _sample(store: StoreProxy) -> tuple[list[Chunk], bool]:
    """Chunks of the store, and whether they are rows of it."""
    ids = nsmallest(SAMPLE, (key.chunk_id for page in store.scan() for key in page))
    rows = [row.chunk for row in store.fetch(ids) if row is not None] if ids else []
    return (rows, True) if rows else (store.chunker.chunk([PAGE])[0], False)


def _window(reader: Proxy, chunks: Sequence[Chunk], k: int) -> Iterator[tuple[int, int, int, int, int, int, bool]]:
    """What a Window says of the reader; nothing where it does not tell."""
    if isinstance(reader, GeneratorProxy) and reader.can("measure"):
        counts, room = reader.measure(chunks)
        longest = sorted(counts, reverse=True)[:k]
        total, left_out = 0, []
        for tokens in longest:
            if total + tokens > room:
                left_out.append(tokens)
            else:
                total += tokens
        yield len(longest), sum(longest), max(longest, default=0), room, len(left_out), sum(left_out), True
    elif isinstance(reader, EmbedderProxy | RerankerProxy) and reader.can("tokens") and reader.can("room"):
        room = reader.room("document")
        counts = [len(spans) for spans in reader.tokens([chunk.input for chunk in chunks])]
        over = [count - room for count in counts if count > room]
        yield len(counts), sum(counts), max(counts), room, len(over), sum(over), False


_PARAGRAPHS = (
    "A bridge carries its own weight before it carries anything else. The longer the span, the larger the share of the "
    "material that does nothing but hold up the rest, until at some length the structure could bear itself and no more. "
    "Builders have met that limit with stone, timber, iron and steel in turn, and each new material has moved it further out.",
    "In an arch every part is pressed. The stones push against each other and, at both ends, against the ground, which must "
    "not give way: most old arches that fell did so because a river had washed out their foundations. While it is being "
    "built an arch stands on a wooden frame, and it is the removal of that frame, on a single day, which tests the work.",
    "A beam bends. Its upper side is pressed and its lower side is pulled, and since stone and concrete tear easily, rods of "
    "steel are laid where the pull is. If they are stretched before the load comes, the concrete around them is pressed from "
    "the beginning, and small cracks close again once a heavy vehicle has passed.",
    "Cables only pull. A suspension bridge hangs its deck from two of them, which run over towers and end in anchors that "
    "weigh tens of thousands of tonnes. Such a deck is light and moves in the wind; engineers learned in 1940, when one of "
    "them twisted itself apart in a steady breeze, that its shape matters as much as its strength.",
    "What wears a bridge out is seldom the heaviest load. Salt, frost and the small vibrations of every day open joints and "
    "start cracks at welds, some of them too fine to be seen. Inspectors knock, listen and measure; sensors now do part of "
    "this work, and report a change of a tenth of a millimetre long before anybody would have noticed it.",
)
PAGE = Document(
    "page",
    "\n\n".join(f"## Part {part}\n\n" + "\n\n".join(_PARAGRAPHS) for part in range(1, 9)),
    "How bridges stand",
)
"""Three thousand words of ordinary English under headings."""

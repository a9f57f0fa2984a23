"""The values that flow through a pipeline: frozen, slotted, and without behaviour that needs a component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hookrag.filters import Filter

Role = Literal["query", "document"]
Output = Literal["dense", "sparse", "multi"]
Metadata = Mapping[str, Any]
CitationStatus = Literal["exact", "repaired", "unverified"]


class _Nothing(dict[str, Any]):
    """An empty dict that stays empty, so that all values can have the same one: making it takes as long as making a value."""

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise TypeError("what a value has by default cannot be changed: give another with dataclasses.replace()")

    __setitem__ = __ior__ = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return 0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()


NOTHING = _Nothing()

PAGE_BREAK = "\f"
"""What stands between two pages in the text of a document that says in its metadata how many `pages` it has."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an identity; `metadata` holds JSON values, of which the declared ones can be filtered on.

    A text of pages has a form feed between every two, and their number as `metadata["pages"]`.
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document: `text == document.text[start:end]`, counted in characters.

    `context` (title, section path) is embedded, indexed and reranked with the text but never quoted. `parent` is the id of
    the larger chunk that this one lies in. A derived chunk (a summary) has no span: `start == end == 0` and `made_of` names
    the chunks it was made from. Make chunks with `chunk_of` or `derived`, which compute the id.
    """

    id: str
    document_id: str
    text: str
    start: int
    end: int
    context: str = ""
    parent: str | None = None
    made_of: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)

    @property
    def input(self) -> str:
        """What is embedded, indexed and reranked."""
        return f"{self.context} {self.text}".strip() if self.context else self.text

    @property
    def pages(self) -> tuple[int, int] | None:
        """The first and the last page that it lies on; None where its document has no pages."""
        return self.pages_of(0, len(self.text))

    def pages_of(self, start: int, end: int) -> tuple[int, int] | None:
        """The same for the characters `text[start:end]`."""
        page = self.metadata.get("page")
        if not isinstance(page, int):
            return None
        first = page + self.text.count(PAGE_BREAK, 0, start)
        return first, first + self.text.count(PAGE_BREAK, start, end)


@dataclass(frozen=True, slots=True)
class Query:
    """A question; `where` limits what may answer it, `history` holds the earlier turns, oldest first."""

    id: str
    text: str
    where: Filter | None = None
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """What a score is: its scale, and who produced it where scores of two producers do not compare."""

    name: str
    producer: str = ""

    def __str__(self) -> str:
        return f"{self.name} of {self.producer}" if self.producer else self.name


@dataclass(frozen=True, slots=True)
class Part:
    """What one stage said about a hit: its place there (from 1), its score, and the query terms it matched."""

    stage: str
    kind: ScoreKind
    rank: int
    score: float
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, its score (higher is better), and what earlier stages said of it, first stage first."""

    chunk: Chunk
    score: float
    parts: tuple[Part, ...] = ()


def best(hits: Iterable[Hit], k: int) -> tuple[Hit, ...]:
    """The k first hits in the one order of hits: score descending, then chunk id ascending. k may exceed their number."""
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k])


@dataclass(frozen=True, slots=True)
class Ranking:
    """The hits for one query: score descending, then chunk id ascending; `kind` says what the scores are,
    and `stage` what gave them ("reranked").

    `notes` are JSON values that a component wants the caller to know ("the corpus did not answer this, the web did").
    `outside` has the chunk ids of the hits that come from no store, each with the retriever that brought it; the core writes it
    for retrievers that say `reach = "outside"`. What fuses or reranks need not carry either on: the core does.
    """

    query: Query
    hits: tuple[Hit, ...]
    stage: str
    kind: ScoreKind
    notes: Mapping[str, Any] = NOTHING
    outside: Mapping[str, str] = NOTHING


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Sparse vectors as compressed rows: row i has `values[indptr[i]:indptr[i + 1]]` at ascending `indices`.

    indptr: int64[n + 1]; indices: int32[nonzero]; values: float32[nonzero]; `width` is the size of the vocabulary.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True, slots=True)
class Vectors:
    """What an embedder returns for n texts: at least one of dense float32[n, d], sparse rows, multi float32[tokens, d] each."""

    dense: NDArray[np.float32] | None = None
    sparse: SparseRows | None = None
    multi: tuple[NDArray[np.float32], ...] | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an embedder is. Stored vectors belong to equal `document` and `space`; a query side may differ within a space.

    `document` and `query` are flat JSON objects (weights, tokenizer, pooling, prompts, ...); `space` names the vector space,
    "" where only this embedder's own vectors compare.
    """

    document: Mapping[str, str | int | float | bool | None]
    query: Mapping[str, str | int | float | bool | None]
    space: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a language model may ask for; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a language model asks for: a tool by name, with arguments as JSON values. The answer to it names its `id`."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with a language model.

    An assistant's turn may have `tool_calls`; each is answered by a turn of the role "tool" that has its id as `tool_call`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that language models read and wrote."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Completion:
    """A text that a language model wrote; `logprobs` has one natural logarithm a token where they were asked for.

    Where it was offered tools, it may ask for some in `tool_calls` instead of writing.
    """

    text: str
    finish: Literal["stop", "length", "filter"] = "stop"
    usage: Usage = Usage()
    logprobs: tuple[float, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """The span `answer.text[start:end]` rests on a chunk; `quote` is the chunk's text it repeats, "" if it does not quote."""

    start: int
    end: int
    chunk: Chunk
    quote: str = ""
    status: CitationStatus = "exact"

    @property
    def pages(self) -> tuple[int, int] | None:
        """The first and the last page of the quote, or of the chunk where nothing is quoted; None where there are no pages."""
        start = self.chunk.text.find(self.quote) if self.quote else -1
        return self.chunk.pages if start < 0 else self.chunk.pages_of(start, start + len(self.quote))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a generator says to a query; `known` is False where it declined to answer from the context.

    `notes` and `outside` are those of the ranking it was made from, and what the generator adds: see `Ranking`.
    """

    query: Query
    text: str
    citations: tuple[Citation, ...] = ()
    context: tuple[Hit, ...] = ()
    usage: Usage = Usage()
    known: bool = True
    notes: Mapping[str, Any] = NOTHING
    outside: Mapping[str, str] = NOTHING


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of an answer as it is written: text to append, a citation that was checked, or a status to show."""

    query_id: str
    kind: Literal["text", "citation", "status"]
    text: str = ""
    citation: Citation | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A configured component: `[retrievers.best]` with `use = "reranked"` is Step("retriever", "best", "reranked", ...)."""

    kind: str
    name: str
    use: str
    fingerprint: str

    def __str__(self) -> str:
        return f"[{KINDS[self.kind]}.{self.name}]"


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as a store keeps it: who wrote it, the hash of the vectors as sent, and the vectors (of this row alone).

    check: a signed integer of 64 bits.
    dense: float32[d]; sparse: (indices int32[m] ascending, values float32[m]); multi: float32[tokens, d].
    """

    chunk: Chunk
    owner: str
    check: int
    dense: NDArray[np.float32] | None = None
    sparse: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None
    multi: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class RowKey:
    """What a scan tells about a row."""

    chunk_id: str
    document_id: str
    owner: str
    check: int


@dataclass(frozen=True, slots=True)
class Card:
    """What a store knows about itself: a uuid made with it, the journal that owns it, and what its rows are.

    `owner` is "" and `epoch` 0 until a journal claims the store. `identity` is a flat JSON object.
    """

    uuid: str
    owner: str = ""
    epoch: int = 0
    generation: int = 1
    identity: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


KINDS: Mapping[str, str] = MappingProxyType(
    {
        "chunker": "chunkers",
        "embedder": "embedders",
        "store": "stores",
        "retriever": "retrievers",
        "fuser": "fusers",
        "reranker": "rerankers",
        "llm": "llms",
        "generator": "generators",
        "middleware": "middleware",
        "reader": "readers",
        "command": "commands",
    }
)
"""Each kind of component with its plural, which names its tables in the configuration and its registration hook."""

"""What a component of each kind can do. Components inherit nothing: having the methods is enough.

Every operation takes a batch and answers for each item, in order. Positional parameters may be named freely by an
implementation. Constructors do no input or output and load no model; `open()`, where a component has one, is called once
before the first operation and `close()` after the last. A component that must not be called from several threads at once
says `max_concurrency = 1`. A class may carry `version: int`, which changes when its results do: an index made with another
is refused. What an object can do may depend on how it was made: `can(operation) -> bool`, where it has one, is asked when a
pipeline is built.

A parameter of a constructor that is typed with one of these protocols is a reference to another table of the configuration.
So is one that is typed with a protocol of your own that extends one of these: whatever it names besides has to be there, and is
called through the same middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hookrag.values import (
    Answer,
    Card,
    Chunk,
    Completion,
    Document,
    Event,
    Hit,
    Identity,
    Message,
    Output,
    Query,
    Ranking,
    Role,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    Step,
    Tool,
    Vectors,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hookrag.filters import Filter

Emit = Callable[[Event], None]


class Chunker(Protocol):
    """Cuts documents into chunks."""

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        """The chunks of each document, in order of their start. Every chunk's text is its span of the document's text."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def outputs(self) -> Collection[Output]:
        """Which of "dense", "sparse" and "multi" it can give; known without opening."""
        ...

    def identity(self) -> Identity:
        """Who it is; called after `open`."""
        ...

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        """Vectors of the n texts: exactly the `outputs` asked for, finite, and independent of the neighbours in the batch."""
        ...


@runtime_checkable
class Tokenizing(Protocol):
    """What an embedder or a reranker may offer besides: its own tokenizer, for whoever has to fit its window.

    What it cuts off it counts: `note(truncated=..., tokens_cut=...)`, texts and tokens of each call.
    """

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        """The (start, end) characters of each token of each text, uncut and without special tokens."""
        ...

    def room(self, role: Role, /) -> int:
        """The most of these tokens that are read of one text in that role, beside special tokens and the role's prefix.

        What is over is cut off. For a reranker a document stands beside a question of ordinary length.
        """
        ...


class TokenizingEmbedder(Embedder, Tokenizing, Protocol):
    """An embedder with its tokenizer: a chunker that counts this embedder's tokens refers to one."""


class Store(Protocol):
    """Keeps rows: chunks with the vectors made of them. Rows are immutable: inserted or deleted, never changed.

    It names the chunker and the document-side embedders of its rows. What it returns is its own: callers may keep it. A store
    that says `fenced = True` cannot be reached by a write that is older than one it has seen: it compares versions, or lives in
    the process that writes. After a run that was cut off, others are given time to settle. One that gives back other vectors
    than it was given (quantised ones) says `keeps_vectors = "lossy"`, one that gives none back `"none"`; without a word they
    are "exact", to the bit.
    """

    @property
    def chunker(self) -> Chunker:
        """Cuts the documents for this store."""
        ...

    @property
    def embedders(self) -> Mapping[Output, Embedder]:
        """Makes the vectors of its rows, by output; empty for a store of text alone."""
        ...

    def card(self) -> Card:
        """What it knows about itself; made with a new uuid when the store is first opened."""
        ...

    def stamp(self, card: Card, /) -> None:
        """Save the card, durably, before returning. The uuid never changes."""
        ...

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Insert rows and return {chunk id: reason} for those it cannot take; a row that is there already is a success.

        A store that is fenced keeps, for each id, the highest version that wrote or dropped it, and ignores an older one.
        Raises TransientError where trying again may help.
        """
        ...

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows; an id that is not there is a success."""
        ...

    def sync(self) -> None:
        """Return when all that was put and dropped is durable and visible to searches."""
        ...

    def scan(self) -> Iterator[list[RowKey]]:
        """Every row once, in pages."""
        ...

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        """The rows in the order asked for, None where there is none; with their vectors only if asked."""
        ...

    def count(self, where: Filter | None = None, /) -> int:
        """How many rows there are, or how many match."""
        ...


class Generational(Protocol):
    """What a store on a server offers besides, so that it can be filled anew beside the one that is searched.

    Its constructor takes `generation: int | None = None`, which is no key of the configuration: the core gives it. With a
    number the store is that generation alone, in a place of its own on the server. Without one it is the generation that was
    promoted last, or the first: so it is until an index is filled anew for the first time, and wherever there is no index
    folder. The two methods are tried again where they raise TransientError, and called again after a process died in them. A
    store whose rows lie under the `path` that the core gave it needs none of this; one that takes a `path` is on a server
    only where it has a `uri` that is not None.
    """

    def promote(self) -> None:
        """Make the generation that this store was made with the one that is searched, in one step; again is a success."""
        ...

    def retire(self, generation: int, /) -> None:
        """Delete the rows of a generation; none there is a success. Raises HookragError for the one that is searched."""
        ...


class DenseStore(Store, Protocol):
    """A store that finds the nearest dense vectors."""

    @property
    def dense_kind(self) -> ScoreKind:
        """What its dense scores are: cosine in [-1, 1], inner product, or the negated squared distance."""
        ...

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match, for each row of float32[n, d]; score descending, then chunk id ascending."""
        ...


class SparseStore(Store, Protocol):
    """A store that finds the highest inner products of sparse vectors."""

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match and share a term, for each sparse row."""
        ...


class TextStore(Store, Protocol):
    """A store that ranks by the words of the text."""

    @property
    def text_kind(self) -> ScoreKind:
        """What its text scores are ("bm25")."""
        ...

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match and share a term, for each text."""
        ...

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        """The terms of `text` that each of these rows contains, as the index spells them."""
        ...


class MultiStore(Store, Protocol):
    """A store that ranks by the sum over query vectors of the best match in the row (MaxSim)."""

    def search_multi(
        self, vectors: Sequence[NDArray[np.float32]], /, *, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """The k best of the rows that match, for each float32[tokens, d]."""
        ...


class Retriever(Protocol):
    """Finds chunks for queries.

    One that finds them elsewhere than in the stores (on the web) says `reach = "outside"`. A filter or a scope cannot be
    checked on what it brings: where there is one it is refused, unless the pipeline says `outside = true`. Whoever refers to
    such a retriever may ask `hookrag.outside_allowed(query)` first.
    """

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        """At most k hits for each query, none twice, all of them matching the query's `where`."""
        ...


class Fuser(Protocol):
    """Makes one ranking out of several."""

    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        """`legs[leg][query]` holds what each retriever found for each query; one ranking a query comes back, at most k hits."""
        ...


class Reranker(Protocol):
    """Scores hits anew."""

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        """The k best hits of each ranking by the reranker's own score; only hits that it scored."""
        ...


class LLM(Protocol):
    """A language model."""

    def complete(
        self,
        prompts: Sequence[Sequence[Message]],
        /,
        *,
        n: int = 1,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        schema: Mapping[str, Any] | None = None,
        logprobs: bool = False,
        tools: Sequence[Tool] = (),
        emit: Callable[[int, str], None] | None = None,
    ) -> list[list[Completion]]:
        """n completions of each prompt. `emit(prompt index, text)` gets the pieces of the first completion as they come.

        `schema` is a JSON Schema that the text has to obey; `tools` are what the completion may ask for instead of a text. A
        model names those of these options that it takes: another that is not left at its default is refused.
        """
        ...

    def count(self, texts: Sequence[str], /) -> list[int]:
        """How many tokens the model reads in each text."""
        ...

    @property
    def window(self) -> int:
        """The most tokens of prompt and completion together."""
        ...


class ScoringLLM(LLM, Protocol):
    """A language model that says how likely a text is after a prompt."""

    def score(
        self, prompts: Sequence[Sequence[Message]], /, *, continuations: Sequence[str]
    ) -> list[tuple[float, ...]]:
        """ln p of each token of `continuations[i]`, in order, as what the assistant says after prompt i."""
        ...


class NextTokenLLM(LLM, Protocol):
    """A language model that says what may come next."""

    def next_logprobs(
        self, prompts: Sequence[Sequence[Message]], /, *, prefixes: Sequence[str] | None = None, top: int = 20
    ) -> list[Mapping[str, float]]:
        """ln p of the `top` likeliest next tokens, by text, after prompt i and the beginning `prefixes[i]` of its answer."""
        ...


class Session(Protocol):
    """Answers to several prompts that are being written, whose keys and values the model keeps from step to step."""

    def next_logprobs(self, *, top: int = 20) -> list[Mapping[str, float]]:
        """ln p of the `top` likeliest next tokens of each answer, by their text."""
        ...

    def extend(self, texts: Sequence[str], /) -> None:
        """Go on with `texts[i]` in answer i; "" leaves one as it is."""
        ...

    def close(self) -> None:
        """Let go of the keys and values."""
        ...


class SessionLLM(LLM, Protocol):
    """A language model that can be asked step by step."""

    def session(self, prompts: Sequence[Sequence[Message]], /) -> Session:
        """Begin an answer to each prompt; whoever asks closes the session."""
        ...


class Generator(Protocol):
    """Answers queries from what was found for them."""

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        """One answer a ranking. Every citation lies in the answer's text and names a chunk of the answer's context."""
        ...


class Measuring(Protocol):
    """What a generator may offer besides, so that it can be told beforehand whether its passages will fit."""

    def measure(self, passages: Sequence[Chunk], /) -> tuple[list[int], int]:
        """The tokens of each passage as it stands in a prompt, and how many there is room for beside an ordinary question."""
        ...


class Reader(Protocol):
    """Turns files into documents."""

    @property
    def suffixes(self) -> Collection[str]:
        """The lower-case file suffixes that it takes (".md")."""
        ...

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        """The documents of one file, called `id` or as the file calls them. Raises ReadError where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of one component: `items` is the batch, `options` the keyword arguments.

    An operation that takes no batch has no items; what else is given by position is in `arguments`. Middleware changes a call
    by `dataclasses.replace`; the step and the operation stay as they are.
    """

    step: Step
    operation: str
    items: Sequence[Any]
    options: Mapping[str, Any]
    arguments: tuple[Any, ...] = ()


Proceed = Callable[[Call], Any]


class Middleware(Protocol):
    """Sees every call of every component of the pipelines that list it; the first listed is the outermost."""

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        """The result of the call: `proceed(call)`, or something in its place, once, several times or never."""
        ...

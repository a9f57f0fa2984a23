"""The typed stand-ins that components get for each other: every call passes middleware and has its contract checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookrag.errors import ComponentError, HookragError
from hookrag.filters import both
from hookrag.protocols import Call, Emit, Proceed
from hookrag.runtime import contracts
from hookrag.runtime.component import Instance, naming
from hookrag.runtime.operation import Operation
from hookrag.runtime.request import current
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
    Vectors,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hookrag.filters import Filter


class Proxy:
    """What all proxies share: the step, the instance behind it, and its attributes, read when it is open."""

    def __init__(self, step: Step, instance: Instance) -> None:
        self.step = step
        self.instance = instance

    def open(self) -> None:
        """Open the component now instead of at its first use."""
        self.instance.open(self.step)

    def can(self, operation: str) -> bool:
        """Whether the component has an operation."""
        return hasattr(type(self.instance.component), operation)

    def __repr__(self) -> str:
        return f"<{self.step} use={self.step.use!r}>"

    def _operation(
        self, name: str, check: Callable[[Any, Any], None], defaults: Mapping[str, Any] | None = None
    ) -> Operation:
        return Operation(self.step, self.instance, name, check, defaults)

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The value of an attribute or of a method that takes no batch, of the opened component."""
        self.open()
        with naming(self.step, name), self.instance.turn(f"{self.step} {name}"):
            value = getattr(self.instance.component, name)
            return value(*arguments) if callable(value) else value


class ChunkerProxy(Proxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._chunk = self._operation("chunk", contracts.chunk)

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        result: list[list[Chunk]] = self._chunk(documents, {})
        return result


class TokenizingProxy(Proxy):
    """For those that `can("tokens")`."""

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        result: list[list[tuple[int, int]]] = self._ask("tokens", texts)
        return result

    def room(self, role: Role, /) -> int:
        return int(self._ask("room", role))


class EmbedderProxy(TokenizingProxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._embed = self._operation("embed", contracts.embed)

    @property
    def outputs(self) -> Collection[Output]:
        outputs: Collection[Output] = self.instance.component.outputs
        return outputs

    def identity(self) -> Identity:
        identity: Identity = self._ask("identity")
        return identity

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        result: Vectors = self._embed(texts, {"role": role, "outputs": frozenset(outputs)})
        return result


class StoreProxy(Proxy):
    """A store within the request's scope, which is AND-ed to every search and count.

    A fetch leaves out what is outside; a scan is refused.
    """

    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._put = self._operation("put", contracts.anything)
        self._drop = self._operation("drop", contracts.anything)
        self._fetch = self._operation("fetch", contracts.fetched)
        self._search: dict[str, Operation] = {}
        for name in ("search_dense", "search_sparse", "search_text", "search_multi"):
            if self.can(name):
                self._search[name] = self._operation(name, contracts.searched)

    @property
    def chunker(self) -> Any:
        return self._own(self.instance.component.chunker)

    @property
    def embedders(self) -> Mapping[Output, Any]:
        return {output: self._own(embedder) for output, embedder in self.instance.component.embedders.items()}

    def _own(self, reference: Any) -> Any:
        """The proxy of a reference that a store made of objects has copied to another attribute."""
        for proxy in self.instance.references.values():
            if isinstance(proxy, Proxy) and proxy.instance.component is reference:
                return proxy
        return reference

    @property
    def dense_kind(self) -> ScoreKind:
        kind: ScoreKind = self.instance.component.dense_kind
        return kind

    @property
    def text_kind(self) -> ScoreKind:
        kind: ScoreKind = self.instance.component.text_kind
        return kind

    def card(self) -> Card:
        card: Card = self._ask("card")
        return card

    def stamp(self, card: Card, /) -> None:
        self._ask("stamp", card)

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        result: Mapping[str, str] = self._put(rows, {"version": version})
        return result

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        self._drop(chunk_ids, {"version": version})

    def sync(self) -> None:
        self._ask("sync")

    def scan(self) -> Iterator[list[RowKey]]:
        if current().scope is not None:  # a key does not say what its row's metadata are
            raise ComponentError(
                f"{self.step} (use = {self.step.use!r}) cannot be scanned within a scope: use a search"
            )
        self.open()
        with naming(self.step, "scan"):
            yield from self.instance.component.scan()

    def verify(self) -> None:
        """Have the store check its own files; for those that `can("verify")`."""
        self._ask("verify")

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        rows: list[Row | None] = self._fetch(chunk_ids, {"vectors": vectors})
        scope = current().scope
        if scope is None:
            return rows
        from hookrag.filters import matches

        return [row if row is not None and matches(scope, row.chunk.metadata) else None for row in rows]

    def count(self, where: Filter | None = None, /) -> int:
        return int(self._ask("count", both(where, current().scope)))

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._find("search_dense", vectors, k, where)

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._find("search_sparse", vectors, k, where)

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._find("search_text", texts, k, where)

    def search_multi(
        self, vectors: Sequence[NDArray[np.float32]], /, *, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        return self._find("search_multi", vectors, k, where)

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        result: list[tuple[str, ...]] = self._ask("matching_terms", text, chunk_ids)
        return result

    def _find(self, name: str, items: Any, k: int, where: Filter | None) -> list[list[Hit]]:
        if not len(items) or k <= 0:
            return [[] for _ in range(len(items))]
        operation = self._search.get(name)
        if operation is None:
            raise ComponentError(f"{self.step} (use = {self.step.use!r}) has no {name}()")
        result: list[list[Hit]] = operation(items, {"k": k, "where": both(where, current().scope)})
        return result


class RetrieverProxy(Proxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._retrieve = self._operation("retrieve", contracts.rankings)

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        result: list[Ranking] = self._retrieve(queries, {"k": k})
        return result


class FuserProxy(Proxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._fuse = self._operation("fuse", contracts.fused)

    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        result: list[Ranking] = self._fuse(legs, {"k": k})
        return result


class RerankerProxy(TokenizingProxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._rerank = self._operation("rerank", contracts.reranked)

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        result: list[Ranking] = self._rerank(rankings, {"k": k})
        return result


_COMPLETE: Mapping[str, Any] = {
    "n": 1,
    "max_tokens": None,
    "stop": (),
    "temperature": 0.0,
    "seed": None,
    "schema": None,
    "logprobs": False,
    "emit": None,
}


class LLMProxy(Proxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._complete = self._operation("complete", contracts.completions, _COMPLETE)
        self._count = self._operation("count", contracts.counts)

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
        emit: Callable[[int, str], None] | None = None,
    ) -> list[list[Completion]]:
        asked = {
            "n": n,
            "max_tokens": max_tokens,
            "stop": tuple(stop),
            "temperature": temperature,
            "seed": seed,
            "schema": schema,
            "logprobs": logprobs,
            "emit": emit,
        }
        options = {name: value for name, value in asked.items() if value != _COMPLETE[name]}
        late = None if emit is None else _Once(emit)
        if late is not None:
            options["emit"] = late
        result: list[list[Completion]] = self._complete(prompts, options)
        if late is not None:
            late.rest([made[0].text for made in result])
        return result

    def count(self, texts: Sequence[str], /) -> list[int]:
        result: list[int] = self._count(texts, {})
        return result

    @property
    def window(self) -> int:
        return int(self._ask("window"))


class _Once:
    """Passes pieces on, and at the end whole texts of which no piece came: from a cache, or a model that does not stream."""

    def __init__(self, emit: Callable[[int, str], None]) -> None:
        self._emit = emit
        self._seen: set[int] = set()

    def __call__(self, index: int, text: str) -> None:
        self._seen.add(index)
        self._emit(index, text)

    def rest(self, texts: Sequence[str]) -> None:
        for index, text in enumerate(texts):
            if index not in self._seen:
                self._emit(index, text)


class GeneratorProxy(Proxy):
    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        self._generate = self._operation("generate", contracts.answers)

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        if emit is None:
            result: list[Answer] = self._generate(rankings, {})
            return result
        seen: set[str] = set()

        def remember(event: Event) -> None:
            if event.kind != "status":
                seen.add(event.query_id)
            emit(event)

        result = self._generate(rankings, {"emit": remember})
        for answer in result:
            if answer.query.id not in seen:
                emit(Event(answer.query.id, "text", answer.text))
                for citation in answer.citations:
                    emit(Event(answer.query.id, "citation", citation=citation))
        return result

    def measure(self, passages: Sequence[Chunk], /) -> tuple[list[int], int]:
        """For those that `can("measure")`."""
        result: tuple[list[int], int] = self._ask("measure", passages)
        return result


class MiddlewareProxy(Proxy):
    def around(self, call: Call, proceed: Proceed, /) -> Any:
        self.open()
        try:
            return self.instance.component.around(call, proceed)
        except HookragError:
            raise
        except Exception as error:  # what components raise has been wrapped further in, so this is the middleware's own
            raise ComponentError(
                f"{self.step} (use = {self.step.use!r}) failed around {call.step} {call.operation}: "
                f"{type(error).__name__}: {error}"
            ) from error


class ReaderProxy(Proxy):
    @property
    def suffixes(self) -> Collection[str]:
        suffixes: Collection[str] = self.instance.component.suffixes
        return suffixes

    def read(self, path: Any, /, *, id: str) -> Iterator[Document]:
        self.open()
        with naming(self.step, "read"):
            yield from self.instance.component.read(path, id=id)


PROXIES: Mapping[str, type[Proxy]] = {
    "chunker": ChunkerProxy,
    "embedder": EmbedderProxy,
    "store": StoreProxy,
    "retriever": RetrieverProxy,
    "fuser": FuserProxy,
    "reranker": RerankerProxy,
    "llm": LLMProxy,
    "generator": GeneratorProxy,
    "middleware": MiddlewareProxy,
    "reader": ReaderProxy,
}

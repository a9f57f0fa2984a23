"""The stand-ins that components get for each other: every call goes through an `Operation`.

A proxy has the operations of the table that its component can do, and forwards whatever else the component has: a method that a
third party's protocol names is an operation, too. The classes below add what a kind needs besides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hookrag.errors import ComponentError, HookragError
from hookrag.filters import both, matches, render
from hookrag.protocols import Call, Emit, Proceed
from hookrag.runtime import contracts
from hookrag.runtime.component import Instance, naming
from hookrag.runtime.operation import Operation
from hookrag.runtime.request import current_request, outside_allowed
from hookrag.runtime.table import OPERATIONS, SESSION, UNKNOWN
from hookrag.values import (
    Answer,
    Completion,
    Event,
    Hit,
    Message,
    Output,
    Query,
    Ranking,
    Role,
    Row,
    RowKey,
    Step,
    Vectors,
)

if TYPE_CHECKING:
    from typing import Protocol

    from hookrag import protocols
    from hookrag.filters import Filter

    # What type checkers are told that proxies have; it is found when they are made.
    class _Chunker(protocols.Chunker, Protocol): ...

    class _Embedder(protocols.TokenizingEmbedder, Protocol): ...

    class _Store(
        protocols.DenseStore,
        protocols.SparseStore,
        protocols.TextStore,
        protocols.MultiStore,
        protocols.Generational,
        Protocol,
    ):
        def verify(self) -> None: ...

    class _Retriever(protocols.Retriever, Protocol): ...

    class _Fuser(protocols.Fuser, Protocol): ...

    class _Reranker(protocols.Reranker, protocols.Tokenizing, Protocol): ...

    class _LLM(protocols.ScoringLLM, protocols.NextTokenLLM, Protocol): ...

    class _Generator(protocols.Generator, protocols.Measuring, Protocol): ...

    class _Reader(protocols.Reader, Protocol): ...
else:
    _Chunker = _Embedder = _Store = _Retriever = _Fuser = _Reranker = _LLM = _Generator = _Reader = object

_LIFE = frozenset({"open", "close"})


class Proxy:
    """What all proxies share: the step, the instance behind it, and its operations.

    A method of the component that no class here has is set from the table of operations when the proxy is made.
    """

    def __init__(self, step: Step, instance: Instance) -> None:
        self.step = step
        self.instance = instance
        component = instance.component
        self._operations: dict[str, Operation] = {}
        for name, type_ in OPERATIONS[step.kind].items():
            if callable(getattr(type(component), name, None)):
                self._operations[name] = operation = Operation(step, instance, name, getattr(component, name), type_)
                if not hasattr(type(self), name):
                    setattr(self, name, operation)

    def open(self) -> None:
        """Open the component now instead of at its first use."""
        self.instance.open(self.step)

    def can(self, operation: str) -> bool:
        """Whether the component, as it was configured, can do an operation; asked without opening it."""
        component = self.instance.component
        if not callable(getattr(type(component), operation, None)):
            return False
        known = OPERATIONS[self.step.kind].get(operation, UNKNOWN)
        if known.output is not None and known.output not in component.embedders:
            return False
        own = getattr(component, "can", None)
        return own is None or bool(own(operation))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("step", "instance", *_LIFE):
            raise AttributeError(name)
        value = getattr(self.instance.component, name, UNKNOWN)
        if value is UNKNOWN:
            raise AttributeError(f"{self.step} (use = {self.step.use!r}) has no {name}")
        if not callable(value):
            return value
        operation = Operation(self.step, self.instance, name, value, UNKNOWN)
        setattr(self, name, operation)
        return operation

    def __repr__(self) -> str:
        return f"<{self.step} use={self.step.use!r}>"


class ChunkerProxy(Proxy, _Chunker):
    pass


class EmbedderProxy(Proxy, _Embedder):
    @property
    def outputs(self) -> Collection[Output]:
        outputs: Collection[Output] = self.instance.component.outputs
        return outputs

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        made: Vectors = self._operations["embed"](texts, role=role, outputs=frozenset(outputs))
        return made


class StoreProxy(Proxy, _Store):
    """A store within the request's scope, which is AND-ed to every search and count.

    A fetch and `matching_terms` leave out what is outside; a scan is refused.
    """

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

    def scan(self) -> Iterator[list[RowKey]]:
        if current_request().scope is not None:  # a key does not say what its row's metadata are
            raise ComponentError(
                f"{self.step} (use = {self.step.use!r}) cannot be scanned within a scope: use a search"
            )
        yield from self._operations["scan"]()

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        rows: list[Row | None] = self._operations["fetch"](chunk_ids, vectors=vectors)
        scope = current_request().scope
        if scope is None:
            return rows
        return [row if row is not None and matches(scope, row.chunk.metadata) else None for row in rows]

    def count(self, where: Filter | None = None, /) -> int:
        return int(self._operations["count"](both(where, current_request().scope)))

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        terms: list[tuple[str, ...]] = self._operations["matching_terms"](text, chunk_ids)
        if current_request().scope is None or not chunk_ids:
            return terms
        return [found if row else () for found, row in zip(terms, self.fetch(chunk_ids), strict=True)]

    def search_dense(self, vectors: Any, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._search("search_dense", vectors, k, where)

    def search_sparse(self, vectors: Any, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._search("search_sparse", vectors, k, where)

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._search("search_text", texts, k, where)

    def search_multi(self, vectors: Any, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        return self._search("search_multi", vectors, k, where)

    def _search(self, name: str, items: Any, k: int, where: Filter | None) -> list[list[Hit]]:
        if not len(items) or k <= 0:
            return [[] for _ in range(len(items))]
        operation = self._operations.get(name)
        if operation is None:
            raise ComponentError(f"{self.step} (use = {self.step.use!r}) has no {name}()")
        result: list[list[Hit]] = operation(items, k=k, where=both(where, current_request().scope))
        return result


class RetrieverProxy(Proxy, _Retriever):
    """A retriever; one that says `reach = "outside"` is refused where there is a filter, unless the pipeline allows it."""

    def __init__(self, step: Step, instance: Instance) -> None:
        super().__init__(step, instance)
        if getattr(instance.component, "reach", "stores") == "outside":
            outside = replace(OPERATIONS["retriever"]["retrieve"], check=contracts.retrieve_outside)
            method = instance.component.retrieve
            self._operations["retrieve"] = Operation(step, instance, "retrieve", method, outside)
            self.retrieve = self._retrieve_outside  # type: ignore[method-assign]

    def _retrieve_outside(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        for query in queries:
            if not outside_allowed(query):
                limit = query.where or current_request().scope  # a scope is part of the filter of a pipeline's queries
                assert limit is not None
                raise HookragError(
                    f"{self.step} (use = {self.step.use!r}) finds what lies outside of the stores, on which the filter "
                    f"{render(limit)} cannot be checked: allow it by outside = true in [pipelines.*], or ask without a filter"
                )
        found: list[Ranking] = self._operations["retrieve"](queries, k=k)
        return [replace(ranking, outside={hit.chunk.id: str(self.step) for hit in ranking.hits}) for ranking in found]


class FuserProxy(Proxy, _Fuser):
    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        made: list[Ranking] = self._operations["fuse"](legs, k=k)
        if not any(one.notes or one.outside for leg in legs for one in leg):
            return made
        return [_carrying(one, [leg[index] for leg in legs]) for index, one in enumerate(made)]


class RerankerProxy(Proxy, _Reranker):
    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        made: list[Ranking] = self._operations["rerank"](rankings, k=k)
        if not any(one.notes or one.outside for one in rankings):
            return made
        return [_carrying(one, [given]) for one, given in zip(made, rankings, strict=True)]


def _carrying(made: Ranking, given: Sequence[Ranking]) -> Ranking:
    """The ranking with the notes of those that it was made of, and with where the hits come from that are left."""
    notes: dict[str, Any] = {}
    outside: dict[str, str] = {}
    for one in given:
        notes |= one.notes
        outside |= one.outside
    left = {hit.chunk.id for hit in made.hits} & outside.keys()
    return replace(made, notes={**notes, **made.notes}, outside={name: outside[name] for name in sorted(left)})


class LLMProxy(Proxy, _LLM):
    @property
    def window(self) -> int:
        self.open()
        with naming(self.step, "window"):
            return int(self.instance.component.window)

    def complete(
        self,
        prompts: Sequence[Sequence[Message]],
        /,
        *,
        emit: Callable[[int, str], None] | None = None,
        **options: Any,
    ) -> list[list[Completion]]:
        complete = self._operations["complete"]
        if emit is None:
            whole: list[list[Completion]] = complete(prompts, **options)
            return whole
        late = _Once(emit)
        made: list[list[Completion]] = complete(prompts, emit=late, **options)
        late.rest([one[0].text for one in made])
        return made

    def session(self, prompts: Sequence[Sequence[Message]], /) -> SessionProxy:
        """Begin an answer to each prompt; leaving its `with` block closes the session."""
        if "session" not in self._operations:
            raise ComponentError(f"{self.step} (use = {self.step.use!r}) has no session()")
        return SessionProxy(self.step, self.instance, self._operations["session"](prompts))


class SessionProxy:
    """The session of a language model, whose steps are operations too: `session.extend` in traces and errors."""

    next_logprobs: Operation
    extend: Operation
    close: Operation

    def __init__(self, step: Step, instance: Instance, session: Any) -> None:
        for name, type_ in SESSION.items():
            setattr(self, name, Operation(step, instance, f"session.{name}", getattr(session, name), type_))

    def __enter__(self) -> SessionProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


class GeneratorProxy(Proxy, _Generator):
    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        generate = self._operations["generate"]
        if emit is None:
            return _informed(generate(rankings), rankings)
        seen: set[str] = set()

        def remember(event: Event) -> None:
            if event.kind != "status":
                seen.add(event.query_id)
            emit(event)

        result = _informed(generate(rankings, emit=remember), rankings)
        for answer in result:
            if answer.query.id not in seen:
                emit(Event(answer.query.id, "text", answer.text))
                for citation in answer.citations:
                    emit(Event(answer.query.id, "citation", citation=citation))
        return result


def _informed(answers: list[Answer], rankings: Sequence[Ranking]) -> list[Answer]:
    """The answers with the notes of their rankings, and with where their context comes from."""
    return [
        replace(one, notes={**ranking.notes, **one.notes}, outside={**ranking.outside, **one.outside})
        if ranking.notes or ranking.outside
        else one
        for one, ranking in zip(answers, rankings, strict=True)
    ]


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


class ReaderProxy(Proxy, _Reader):
    @property
    def suffixes(self) -> Collection[str]:
        suffixes: Collection[str] = self.instance.component.suffixes
        return suffixes


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

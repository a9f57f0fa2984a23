"""What middleware promises: where it has nothing to do, every call goes through it unchanged, alone and beside others.

`make()` gives one that has nothing to do on the kit's calls: a budget that is large enough, a pattern that no text matches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hookrag.components.middleware import Budget, Cache, Redact, Retry
from hookrag.config.objects import Adoption
from hookrag.errors import ItemRejected
from hookrag.protocols import Call, Proceed
from hookrag.runtime.request import Request, current_request, serving
from hookrag.runtime.shared import Shared
from hookrag.runtime.trace import tracing
from hookrag.testing._kit import Check, Make, difference, opened, options_of, require
from hookrag.testing._rankings import rankings, relevant
from hookrag.testing.fakes import (
    FirstHit,
    HashEmbedder,
    ListRetriever,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
    WordChunker,
)
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import QUERIES, chunks, documents, put
from hookrag.values import Message

TEXTS = tuple(document.text for document in documents())
PROMPTS = tuple((Message("user", text),) for text in TEXTS[:4])


def _adopt(kind: str, component: Any) -> Any:
    return Adoption(Shared()).adopt(kind, component)


def _components() -> dict[str, Any]:
    """One component of each kind, behind its proxy, with rows in the store."""
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder(), outputs=["dense", "sparse", "multi"])
    made = {
        "chunker": WordChunker(size=5),
        "embedder": HashEmbedder(),
        "store": store,
        "retriever": ListRetriever(texts=list(TEXTS)),
        "fuser": RankFuser(),
        "reranker": OverlapReranker(),
        "llm": ScriptedLLM(),
        "generator": FirstHit(),
    }
    proxies = {kind: _adopt(kind, component) for kind, component in made.items()}
    put(proxies["store"], chunks())
    return proxies


# Each operation as the core calls it, on a batch.
_CALLS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Any]], Any]] = {
    "chunk": lambda on, _: on["chunker"].chunk(documents()),
    "embed": lambda on, texts: on["embedder"].embed(texts, role="document", outputs={"dense", "sparse", "multi"}),
    "embed, twice each": lambda on, texts: on["embedder"].embed([*texts, *texts], role="query", outputs={"dense"}),
    "embed, nothing": lambda on, _: on["embedder"].embed([], role="query", outputs={"dense"}),
    "put": lambda on, _: on["store"].put([], version=2),
    "drop": lambda on, _: on["store"].drop(["0" * 32], version=2),
    "fetch": lambda on, _: on["store"].fetch([chunk.id for chunk in chunks()], vectors=True),
    "search_text": lambda on, texts: on["store"].search_text(texts, k=3, where=None),
    "search_dense": lambda on, texts: on["store"].search_dense(
        on["embedder"].embed(texts, role="query", outputs={"dense"}).dense, k=3, where=None
    ),
    "retrieve": lambda on, _: on["retriever"].retrieve(QUERIES, k=3),
    "fuse": lambda on, _: on["fuser"].fuse([rankings("dense"), rankings("text")], k=3),
    "rerank": lambda on, _: on["reranker"].rerank(rankings(), k=3),
    "complete": lambda on, _: on["llm"].complete(PROMPTS, max_tokens=5),
    "complete, several": lambda on, _: on["llm"].complete(PROMPTS, n=2, temperature=0.7),
    "count": lambda on, texts: on["llm"].count(texts),
    "generate": lambda on, _: on["generator"].generate(relevant()),
}


@contextmanager
def _through(*middleware: Any) -> Iterator[None]:
    """A request with this middleware, the first outermost."""
    with serving(Request(middleware=middleware)):
        yield


def _results(on: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call(on, list(TEXTS)) for name, call in _CALLS.items()}


def check_results_pass_unchanged(make: Make) -> str | None:
    """Every operation of every kind gives what it gives without the middleware, also the second time."""
    with opened("middleware", make) as middleware:
        on = _components()
        plain = _results(on)
        for when in ("first", "second"):
            with _through(middleware):
                seen = _results(on)
            for name, result in plain.items():
                differs = difference(result, seen[name])
                require(
                    not differs,
                    middleware,
                    f"changes the {when} result of {name}: {differs}",
                    "return proceed(call) where there is nothing to do",
                )
    return None


def check_calls_pass_unchanged(make: Make) -> str | None:
    """The step and the operation that reach the component are those that were called, and no option is lost or added."""
    with opened("middleware", make) as middleware:
        on = _components()
        inner = _Recorder()
        outer = _Recorder()
        with _through(outer, middleware, inner):
            _results(on)
        for seen in inner.calls:
            twins = [call for call in outer.calls if (call.step, call.operation) == (seen.step, seen.operation)]
            require(
                any(call.options.keys() == seen.options.keys() for call in twins),
                middleware,
                f"passes on {seen.operation} of {seen.step} with the options {sorted(seen.options)}",
                "change a call by dataclasses.replace(call, items=...) alone",
            )
    return None


class _Recorder:
    """Middleware that remembers the calls it sees."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        self.calls.append(call)
        return proceed(call)


class _Rejecting:
    """An embedder that takes no text with `bad` in it."""

    def __init__(self) -> None:
        self.outputs = frozenset({"dense"})
        self._inner = HashEmbedder()

    def identity(self) -> Any:
        return self._inner.identity()

    def embed(self, texts: Sequence[str], /, *, role: Any, outputs: Any) -> Any:
        if any("bad" in text for text in texts):
            raise ItemRejected("this text is bad")
        return self._inner.embed(texts, role=role, outputs=outputs)


def check_errors_pass(make: Make) -> str | None:
    """An error that is not the middleware's business passes through, with its type and message, and the next call works."""
    with opened("middleware", make) as middleware:
        embedder = _adopt("embedder", _Rejecting())
        with _through(middleware):
            got: Exception | None = None
            try:
                embedder.embed(["a bad text"], role="document", outputs={"dense"})
            except Exception as error:
                got = error
            require(
                isinstance(got, ItemRejected) and "this text is bad" in str(got),
                middleware,
                f"turns ItemRejected('this text is bad') into {got!r:.100}",
                "let errors pass that it does not handle, and raise the same one again",
            )
            embedder.embed(["a good text"], role="document", outputs={"dense"})
    return None


def check_streams_pass(make: Make) -> str | None:
    """What a model or a generator emits reaches the caller once, in order, also when the result is kept for later."""
    with opened("middleware", make) as middleware:
        on = _components()
        for _ in range(2):
            pieces: list[tuple[int, str]] = []
            events: list[Any] = []
            with _through(middleware):
                made = on["llm"].complete(PROMPTS, emit=lambda *piece, to=pieces: to.append(piece))
                answers = on["generator"].generate(relevant(), emit=events.append)
            for index, (one, *_rest) in enumerate(made):
                joined = "".join(text for place, text in pieces if place == index)
                require(
                    joined == one.text,
                    middleware,
                    f"lets {joined[:40]!r} through of the completion {one.text[:40]!r}",
                    'pass call.options["emit"] on; where you change the items, give emit the index of the caller\'s item',
                )
            for answer in answers:
                joined = "".join(e.text for e in events if e.query_id == answer.query.id and e.kind == "text")
                require(
                    joined == answer.text,
                    middleware,
                    f"lets {joined[:40]!r} through of the answer {answer.text[:40]!r}",
                    'pass call.options["emit"] on',
                )
    return None


def _others() -> list[tuple[str, Any]]:
    return [
        ("retry", Retry(attempts=2)),
        ("cache", Cache(size=100)),
        ("budget", Budget(calls=10_000)),
        ("redact", Redact(patterns=["no text of the kit has this"])),
    ]


def check_nests_in_each_order(make: Make) -> str | None:
    """Outside and inside each of the core's middleware, and twice in one pipeline, results stay the same."""
    with opened("middleware", make) as middleware, opened("middleware", make) as twin:
        on = _components()
        plain = _results(on)
        pairs = [(name, _adopt("middleware", other)) for name, other in _others()]
        orders = [(f"outside of {name}", (middleware, other)) for name, other in pairs]
        orders += [(f"inside of {name}", (other, middleware)) for name, other in pairs]
        orders += [("beside one of its own", (middleware, twin)), ("twice", (middleware, middleware))]
        for how, order in orders:
            with _through(*order):
                seen = _results(on)
            for name, result in plain.items():
                differs = difference(result, seen[name])
                require(
                    not differs,
                    middleware,
                    f"changes {name} when it is {how}: {differs}",
                    "keep what belongs to a request in hookrag.current_request().state, under a key of its own",
                )
    return None


def check_circumstances_are_kept(make: Make) -> str | None:
    """The component runs within the request and the trace of its caller."""
    with opened("middleware", make) as middleware:
        on = _components()
        seen: list[Request] = []

        class Looking:
            def around(self, call: Call, proceed: Proceed, /) -> Any:
                seen.append(current_request())
                return proceed(call)

        with tracing() as trace, _through(middleware, Looking()):
            asked = current_request()
            on["retriever"].retrieve(QUERIES[:1], k=1)
        require(
            bool(seen) and all(one is asked for one in seen),
            middleware,
            "runs the component outside of the caller's request" if seen else "never calls the component",
            "call proceed(call) in the caller's thread, or in hookrag.fan_out()",
        )
        names = [span.operation for span in trace.walk()]
        require(
            "retrieve" in names, middleware, f"loses the trace: {names}", "call proceed(call) in the caller's context"
        )
    return None


def check_around_takes_a_call_and_proceed(make: Make) -> str | None:
    """`around(call, proceed)` takes two positional arguments and no options."""
    with opened("middleware", make) as middleware:
        extra = options_of(middleware, "around")
        require(
            not extra, middleware, f"names the options {sorted(extra)} in around()", "def around(self, call, proceed)"
        )
    return None


def _prepare(middleware: Any, folder: Path) -> list[str]:
    return copy.copy(list(TEXTS))


def _call(middleware: Any, texts: Sequence[str]) -> Any:
    on = _components()
    with _through(middleware):
        return [_CALLS[name](on, texts) for name in ("embed", "search_text", "count", "retrieve", "complete")]


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("middleware", _prepare, _call, separate=False)),
    check_results_pass_unchanged,
    check_calls_pass_unchanged,
    check_errors_pass,
    check_streams_pass,
    check_nests_in_each_order,
    check_circumstances_are_kept,
    check_around_takes_a_call_and_proceed,
)

"""The operations of each kind, one entry each: proxies, capabilities, middleware, traces and contracts follow from it.

A method that is not in the table, because a third party's protocol adds it, is called in the same way and has no contract.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hookrag import protocols
from hookrag.protocols import Call
from hookrag.runtime import contracts
from hookrag.values import Output

Check = Callable[[Call, Any], None]


@dataclass(frozen=True, slots=True)
class OperationType:
    """What is known of an operation before any component has it.

    `batch` names the items that it takes by position, "" where it takes none. `check` is its contract, called with the call and
    the result. `pages`: the result is an iterator, which is traced as it is read and has no contract. `output`: a store can
    do it if its rows have these vectors. `defaults` are the keyword options that may be left out, with the values that they
    then have: an option at its default never reaches a component, which need not know it.
    """

    batch: str = ""
    check: Check = contracts.no_contract
    pages: bool = False
    output: Output | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _defaults(method: Callable[..., Any]) -> Mapping[str, Any]:
    options = inspect.signature(method).parameters.values()
    return {one.name: one.default for one in options if one.kind is one.KEYWORD_ONLY and one.default is not one.empty}


UNKNOWN = OperationType()
"""An operation that is not in the table."""

_TOKENS = {
    "tokens": OperationType("texts", contracts.tokens),
    "room": OperationType(check=contracts.number),
}

OPERATIONS: Mapping[str, Mapping[str, OperationType]] = {
    "chunker": {"chunk": OperationType("documents", contracts.chunk)},
    "embedder": {
        "embed": OperationType("texts", contracts.embed),
        "identity": OperationType(check=contracts.identity),
        **_TOKENS,
    },
    "store": {
        "card": OperationType(check=contracts.card),
        "stamp": OperationType(),
        "put": OperationType("rows", contracts.rejections),
        "drop": OperationType("ids"),
        "sync": OperationType(),
        "verify": OperationType(),
        "identity": OperationType(check=contracts.json_object),
        "scan": OperationType(pages=True),
        "fetch": OperationType("ids", contracts.fetch),
        "count": OperationType(check=contracts.number),
        "search_dense": OperationType("queries", contracts.search, output="dense"),
        "search_sparse": OperationType("queries", contracts.search, output="sparse"),
        "search_multi": OperationType("queries", contracts.search, output="multi"),
        "search_text": OperationType("queries", contracts.search),
        "matching_terms": OperationType(check=contracts.terms),
        "promote": OperationType(),
        "retire": OperationType(),
    },
    "retriever": {"retrieve": OperationType("queries", contracts.retrieve)},
    "fuser": {"fuse": OperationType("legs", contracts.fuse)},
    "reranker": {"rerank": OperationType("rankings", contracts.rerank), **_TOKENS},
    "llm": {
        "complete": OperationType("prompts", contracts.complete, defaults=_defaults(protocols.LLM.complete)),
        "count": OperationType("texts", contracts.count),
        "score": OperationType("prompts", contracts.score),
        "next_logprobs": OperationType(
            "prompts", contracts.next_logprobs, defaults=_defaults(protocols.NextTokenLLM.next_logprobs)
        ),
        "session": OperationType("prompts", contracts.session),
    },
    "generator": {
        "generate": OperationType("rankings", contracts.generate),
        "measure": OperationType("passages", contracts.measure),
    },
    "middleware": {},
    "reader": {"read": OperationType(pages=True)},
}


def output_of(kind: str, name: str) -> Output | None:
    """The vectors that a store's rows must have for an operation; None where it needs none."""
    return OPERATIONS[kind].get(name, UNKNOWN).output


SESSION: Mapping[str, OperationType] = {
    "next_logprobs": OperationType(defaults=_defaults(protocols.Session.next_logprobs)),
    "extend": OperationType("texts"),
    "close": OperationType(),
}
"""The operations of what `session` gives."""

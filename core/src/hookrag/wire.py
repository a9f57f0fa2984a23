"""Queries, rankings, answers, events and traces as JSON values, and back: what commands print and servers send.

    to_json(answer)                      a dict of JSON values
    from_json(Answer, {...})             the answer again: from_json(Answer, to_json(answer)) == answer

docs/searching.md shows the keys. A reader takes keys that it does not know for those of a later version, and leaves them out; a
key that is absent has its value's default, where it has one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hookrag.errors import HookragError
from hookrag.filters import parse, render
from hookrag.runtime.trace import Span
from hookrag.values import (
    KINDS,
    Answer,
    Chunk,
    Citation,
    Document,
    Event,
    Hit,
    Message,
    Part,
    Query,
    Ranking,
    ScoreKind,
    Step,
    ToolCall,
    Usage,
)

T = TypeVar("T")
JSON = dict[str, Any]


class WireError(HookragError, ValueError):
    """JSON that is not what it is read as: the message says where, what was expected, and what was got."""


def to_json(value: Any, *, parts: bool = True) -> JSON:
    """JSON values of a Document, Query, Chunk, Hit, Ranking, Citation, Answer, Event or Span.

    Without `parts`, hits do not tell their way through the stages. Raises TypeError for anything else.
    """
    match value:
        case Ranking():
            return _ranking(value, parts)
        case Answer():
            return _answer(value, parts)
        case Hit():
            return _hit(value, 1, parts)
    for cls, write in _WRITERS.items():
        if isinstance(value, cls):
            return write(value)
    raise TypeError(
        f"{type(value).__name__} has no JSON form; those that have: {', '.join(c.__name__ for c in _READERS)}"
    )


def from_json(cls: type[T], data: Any) -> T:
    """The value of that class which `to_json` made the JSON values of. Raises WireError."""
    read = _READERS.get(cls)
    if read is None:
        known = ", ".join(one.__name__ for one in _READERS)
        raise TypeError(f"{cls.__name__} has no JSON form; those that have: {known}")
    made: T = read(_Fields(data, cls.__name__.lower()))
    return made


# Writing


def _document(document: Document) -> JSON:
    return {
        "id": document.id,
        "text": document.text,
        "title": document.title,
        "metadata": dict(document.metadata),
    }


def _query(query: Query) -> JSON:
    told: JSON = {"id": query.id, "text": query.text}
    if query.where is not None:
        told["where"] = render(query.where)
    if query.history:
        told["history"] = [_message(message) for message in query.history]
    return told


def _message(message: Message) -> JSON:
    told: JSON = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": dict(call.arguments)} for call in message.tool_calls
        ]
    if message.tool_call:
        told["tool_call"] = message.tool_call
    return told


def _chunk(chunk: Chunk) -> JSON:
    told: JSON = {
        "document": chunk.document_id,
        "chunk": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "context": chunk.context,
        "text": chunk.text,
        "metadata": dict(chunk.metadata),
    }
    if chunk.parent is not None:
        told["parent"] = chunk.parent
    if chunk.made_of:
        told["made_of"] = list(chunk.made_of)
    return told


def _kind(kind: ScoreKind) -> JSON:
    return {"kind": kind.name, "producer": kind.producer} if kind.producer else {"kind": kind.name}


def _hit(hit: Hit, rank: int, parts: bool) -> JSON:
    told = {"rank": rank, "score": hit.score, **_chunk(hit.chunk)}
    if parts:
        told["parts"] = [
            {"stage": one.stage, **_kind(one.kind), "rank": one.rank, "score": one.score, "terms": list(one.terms)}
            for one in hit.parts
        ]
    return told


def _ranking(ranking: Ranking, parts: bool) -> JSON:
    return {
        "query": _query(ranking.query),
        "stage": ranking.stage,
        **_kind(ranking.kind),
        "hits": [_hit(hit, rank, parts) for rank, hit in enumerate(ranking.hits, 1)],
        **_told(ranking),
    }


def _told(value: Ranking | Answer) -> JSON:
    """The notes and what is from outside, where there are any."""
    told: JSON = {"notes": dict(value.notes)} if value.notes else {}
    return {**told, "outside": dict(value.outside)} if value.outside else told


def _citation(citation: Citation) -> JSON:
    chunk = citation.chunk
    return {
        "start": citation.start,
        "end": citation.end,
        "document": chunk.document_id,
        "chunk": chunk.id,
        "chunk_start": chunk.start,
        "chunk_end": chunk.end,
        "pages": list(citation.pages) if citation.pages else None,
        "quote": citation.quote,
        "status": citation.status,
    }


def _alone(citation: Citation) -> JSON:
    """A citation apart from its answer, with the chunk that it names."""
    return {**_citation(citation), "passage": _chunk(citation.chunk)}


def _answer(answer: Answer, parts: bool) -> JSON:
    return {
        "query": _query(answer.query),
        "text": answer.text,
        "known": answer.known,
        "citations": [_citation(citation) for citation in answer.citations],
        "context": [_hit(hit, rank, parts) for rank, hit in enumerate(answer.context, 1)],
        "usage": {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
        },
        **_told(answer),
    }


def _event(event: Event) -> JSON:
    told: JSON = {"query": event.query_id, "kind": event.kind}
    if event.citation is None:
        return {**told, "text": event.text}
    return {**told, "citation": _alone(event.citation)}


def _span(span: Span) -> JSON:
    """Seconds are rounded to microseconds; a note that JSON has no value for becomes text."""
    return {
        "component": str(span.step) if span.step else None,
        "use": span.step.use if span.step else None,
        "operation": span.operation,
        "items": span.items,
        "seconds": round(span.seconds, 6),
        "notes": json.loads(json.dumps(span.notes, default=str)),
        "error": span.error,
        "children": [_span(child) for child in span.children],
    }


_WRITERS: Mapping[type, Callable[[Any], JSON]] = {
    Document: _document,
    Query: _query,
    Chunk: _chunk,
    Citation: _alone,
    Event: _event,
    Span: _span,
}


# Reading

_NONE: Any = object()
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


class _Fields:
    """An object of JSON, read key by key; `where` is how one came to it ("answer.citations[0]")."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise WireError(f"{where}: expected an object, got {type(data).__name__}")
        self._data = data
        self.where = where

    def __call__(self, key: str, type_: type, default: Any = _NONE) -> Any:
        value = self._data.get(key, _NONE)
        if value is _NONE:
            if default is _NONE:
                raise WireError(f"{self.where}: needs the key {key!r}: {_WORDS[type_]}")
            return default
        wanted = (int, float) if type_ is float else type_
        if value is None and default is None:
            return None
        if not isinstance(value, wanted) or (isinstance(value, bool) and type_ is not bool):
            raise WireError(f"{self.where}.{key}: expected {_WORDS[type_]}, got {value!r:.60}")
        return value

    def inner(self, key: str) -> _Fields:
        return _Fields(self(key, dict), f"{self.where}.{key}")

    def each(self, key: str, default: Any = _NONE) -> list[_Fields]:
        return [_Fields(one, f"{self.where}.{key}[{i}]") for i, one in enumerate(self(key, list, default))]

    def texts(self, key: str) -> tuple[str, ...]:
        found = self(key, list, ())
        if not all(isinstance(one, str) for one in found):
            raise WireError(f"{self.where}.{key}: expected a list of text, got {found!r:.60}")
        return tuple(found)

    def one_of(self, key: str, choices: tuple[str, ...], default: Any = _NONE) -> Any:
        value = self(key, str, default)
        if value not in choices:
            raise WireError(f"{self.where}.{key}: expected one of {', '.join(map(repr, choices))}, got {value!r:.60}")
        return value


def _read_document(read: _Fields) -> Document:
    return Document(read("id", str), read("text", str), read("title", str, ""), read("metadata", dict, {}))


def _read_query(read: _Fields) -> Query:
    where = read("where", str, None)
    history = tuple(_read_message(one) for one in read.each("history", ()))
    return Query(read("id", str, "1"), read("text", str), None if where is None else parse(where), history)


def _read_message(read: _Fields) -> Message:
    calls = [
        ToolCall(one("id", str), one("name", str), one("arguments", dict, {})) for one in read.each("tool_calls", ())
    ]
    role = read.one_of("role", ("system", "user", "assistant", "tool"))
    return Message(role, read("content", str, ""), tuple(calls), read("tool_call", str, ""))


def _read_chunk(read: _Fields) -> Chunk:
    return Chunk(
        read("chunk", str),
        read("document", str),
        read("text", str),
        read("start", int),
        read("end", int),
        read("context", str, ""),
        read("parent", str, None),
        read.texts("made_of"),
        read("metadata", dict, {}),
    )


def _read_kind(read: _Fields) -> ScoreKind:
    return ScoreKind(read("kind", str), read("producer", str, ""))


def _read_hit(read: _Fields) -> Hit:
    parts = [
        Part(one("stage", str), _read_kind(one), one("rank", int), one("score", float), one.texts("terms"))
        for one in read.each("parts", ())
    ]
    return Hit(_read_chunk(read), read("score", float), tuple(parts))


def _read_ranking(read: _Fields) -> Ranking:
    return Ranking(
        _read_query(read.inner("query")),
        tuple(_read_hit(one) for one in read.each("hits")),
        read("stage", str),
        _read_kind(read),
        read("notes", dict, {}),
        read("outside", dict, {}),
    )


def _read_citation(read: _Fields, chunks: Mapping[str, Chunk]) -> Citation:
    name = read("chunk", str)
    if name not in chunks:
        raise WireError(f"{read.where}.chunk: the context has no chunk {name!r}")
    status = read.one_of("status", ("exact", "repaired", "unverified"))
    return Citation(read("start", int), read("end", int), chunks[name], read("quote", str, ""), status)


def _read_answer(read: _Fields) -> Answer:
    context = tuple(_read_hit(one) for one in read.each("context"))
    chunks = {hit.chunk.id: hit.chunk for hit in context}
    usage = read.inner("usage") if read("usage", dict, None) is not None else None
    return Answer(
        _read_query(read.inner("query")),
        read("text", str),
        tuple(_read_citation(one, chunks) for one in read.each("citations", ())),
        context,
        Usage(usage("prompt_tokens", int, 0), usage("completion_tokens", int, 0)) if usage else Usage(),
        read("known", bool, True),
        read("notes", dict, {}),
        read("outside", dict, {}),
    )


def _read_alone(read: _Fields) -> Citation:
    """A citation by itself, which brings its chunk along."""
    chunk = _read_chunk(read.inner("passage"))
    return _read_citation(read, {chunk.id: chunk})


def _read_event(read: _Fields) -> Event:
    kind = read.one_of("kind", ("text", "citation", "status"))
    citation = _read_alone(read.inner("citation")) if kind == "citation" else None
    return Event(read("query", str), kind, read("text", str, ""), citation)


def _read_span(read: _Fields) -> Span:
    component = read("component", str, None)
    step = None
    if component is not None:
        plural, _, name = component.strip("[]").partition(".")
        kind = next((kind for kind, many in KINDS.items() if many == plural), None)
        if kind is None:
            raise WireError(f"{read.where}.component: expected a table as [retrievers.name], got {component!r:.60}")
        step = Step(kind, name, read("use", str, ""), "")
    return Span(
        step,
        read("operation", str),
        read("items", int),
        started=0.0,
        seconds=read("seconds", float, 0.0),
        notes=dict(read("notes", dict, {})),
        error=read("error", str, None),
        children=[_read_span(one) for one in read.each("children", ())],
    )


_READERS: Mapping[type, Callable[[_Fields], Any]] = {
    Document: _read_document,
    Query: _read_query,
    Chunk: _read_chunk,
    Hit: _read_hit,
    Ranking: _read_ranking,
    Citation: _read_alone,
    Answer: _read_answer,
    Event: _read_event,
    Span: _read_span,
}

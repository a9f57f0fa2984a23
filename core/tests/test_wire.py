"""Values as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hookrag import (
    Answer,
    Citation,
    Document,
    Event,
    Hit,
    Message,
    Part,
    Query,
    Ranking,
    ScoreKind,
    ToolCall,
    Usage,
    chunk_of,
    derived,
    parse_filter,
)
from hookrag.runtime.trace import Span
from hookrag.values import Step
from hookrag.wire import WireError, from_json, to_json
from hypothesis import given
from hypothesis import strategies as st

PAGED = Document("a.pdf", "The Moon is grey.\fIt orbits the Earth.", "Moon", {"pages": 2, "tags": ["x"], "n": 1.5})
CHUNK = chunk_of(PAGED, 0, len(PAGED.text), level="child", parent="p" * 32)
SUMMARY = derived("graph", "A summary.", made_of=[CHUNK.id], level="summary", metadata={"tenant": "a"})
QUERY = Query(
    "q1",
    "What colour is the Moon?",
    parse_filter('lang == "en" and not tags contains any of ["a", "b"]'),
    (
        Message("user", "Hello", ()),
        Message("assistant", "", (ToolCall("1", "look", {"at": "moon", "times": 2}),)),
        Message("tool", "grey", (), "1"),
    ),
)
PART = Part("text", ScoreKind("bm25"), 2, 1.25, ("moon",))
HITS = (Hit(CHUNK, 3.5, (PART, Part("fused", ScoreKind("rrf", "fuser of mine"), 1, 0.03))), Hit(SUMMARY, -1.0))
RANKING = Ranking(
    QUERY, HITS, "reranked", ScoreKind("logit", "a of b"), {"skipped": ["leg 2"]}, {SUMMARY.id: "[retrievers.web]"}
)
CITATION = Citation(0, 4, CHUNK, "The Moon", "repaired")
ANSWER = Answer(
    QUERY, "Grey [1].", (CITATION,), HITS, Usage(12, 3), True, {"route": "web"}, {SUMMARY.id: "[retrievers.web]"}
)
VALUES = [
    PAGED, QUERY, Query("1", "plain"), CHUNK, SUMMARY, HITS[0], RANKING, CITATION, ANSWER,
    Event("q1", "text", "Grey"), Event("q1", "status", "looking"), Event("q1", "citation", citation=CITATION),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_there_and_back(value: Any) -> None:
    assert from_json(type(value), json.loads(json.dumps(to_json(value), allow_nan=False))) == value


def test_a_trace_there_and_back() -> None:
    step = Step("retriever", "best", "reranked", "f")
    span = Span(
        None, "trace", 0, children=[Span(step, "retrieve", 2, 0.0, 0.25, {"k": 3, "odd": {1}}, "ValueError: x")]
    )
    told = to_json(span)
    assert told["children"][0] == {
        "component": "[retrievers.best]", "use": "reranked", "operation": "retrieve", "items": 2, "seconds": 0.25,
        "notes": {"k": 3, "odd": "{1}"}, "error": "ValueError: x", "children": [],
    }  # fmt: skip
    again = from_json(Span, told)
    assert to_json(again) == told
    assert str(again).splitlines()[1] == "  [retrievers.best] retrieve x2 250.0 ms k=3 odd={1} failed: ValueError: x"


@given(st.text(), st.text(), st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_any_text(id: str, text: str, metadata: dict[str, Any]) -> None:
    document = Document(id, text, metadata=metadata)
    chunk = chunk_of(document, 0, len(text)) if "pages" not in metadata else None
    for value in filter(None, (document, chunk)):
        assert from_json(type(value), json.loads(json.dumps(to_json(value)))) == value


def test_hits_without_their_way() -> None:
    assert all("parts" not in hit for hit in to_json(RANKING, parts=False)["hits"])
    assert from_json(Ranking, to_json(RANKING, parts=False)).hits[0].parts == ()


def test_keys_of_later_versions_are_left_out() -> None:
    assert from_json(Query, {"id": "1", "text": "x", "mood": "curious"}) == Query("1", "x")


@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (Query, [], "query: expected an object, got list"),
        (Query, {}, "query: needs the key 'text': text"),
        (Query, {"text": 3}, "query.text: expected text, got 3"),
        (Query, {"text": "x", "history": [{"role": "boss"}]},
         "query.history[0].role: expected one of 'system', 'user', 'assistant', 'tool', got 'boss'"),
        (Query, {"text": "x", "history": {"role": "user"}}, "query.history: expected a list, got {'role': 'user'}"),
        (Ranking, {"query": {"text": "x"}, "hits": [{"score": True}]}, "ranking.hits[0]: needs the key 'chunk': text"),
        (Answer, {**to_json(ANSWER), "context": []}, f"answer.citations[0].chunk: the context has no chunk {CHUNK.id!r}"),
        (Answer, {**to_json(ANSWER), "known": 1}, "answer.known: expected true or false, got 1"),
        (Event, {"query": "1", "kind": "shout"}, "event.kind: expected one of 'text', 'citation', 'status', got 'shout'"),
        (Span, {"component": "[wheels.x]", "operation": "o", "items": 1},
         "span.component: expected a table as [retrievers.name], got '[wheels.x]'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(cls: type, data: Any, message: str) -> None:
    with pytest.raises(WireError) as raised:
        from_json(cls, data)
    assert str(raised.value).startswith(message)


def test_what_has_no_json_form() -> None:
    with pytest.raises(TypeError, match="int has no JSON form; those that have: Document, Query"):
        to_json(3)
    with pytest.raises(TypeError, match="str has no JSON form"):
        from_json(str, "x")

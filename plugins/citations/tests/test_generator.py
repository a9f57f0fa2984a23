"""The `cited` generator over a scripted model: what it sends, what fits, what it makes of the answer, how it streams."""

from __future__ import annotations

import pytest
from hookrag import (
    Completion,
    Document,
    Event,
    Hit,
    HookragError,
    Message,
    Query,
    Ranking,
    ScoreKind,
    Usage,
    chunk_of,
    tracing,
)
from hookrag.runtime.request import Request, serving
from hookrag_citations.generator import Cited
from hookrag_citations.prompt import DECLINE

TEXTS = ["The tower was finished in 1889.", "Redis listens on port 6379.", "A leap year has 366 days."]


class Scripted:
    """Answers with `replies` in turn, in pieces of `size` characters; counts words as tokens."""

    def __init__(self, *replies: str, window: int = 2000, size: int = 3, finish="stop") -> None:
        self.replies = list(replies)
        self.window = window
        self.size = size
        self.finish = finish
        self.asked: list[dict] = []
        self.prompts: list[list[Message]] = []

    def complete(self, prompts, /, *, max_tokens=None, emit=None):
        self.asked.append({"max_tokens": max_tokens, "emit": emit is not None})
        self.prompts += prompts
        made = []
        for index, _ in enumerate(prompts):
            text = self.replies.pop(0)
            for start in range(0, len(text) if emit else 0, self.size):
                emit(index, text[start : start + self.size])
            made.append([Completion(text, self.finish, Usage(10, 5))])
        return made

    def count(self, texts, /):
        return [len(text.split()) for text in texts]


def ranking(texts=TEXTS, query=None) -> Ranking:
    hits = tuple(
        Hit(chunk_of(Document(f"d{place}", text), 0, len(text)), 1.0 - place / 10) for place, text in enumerate(texts)
    )
    return Ranking(query or Query("q", "When?"), hits, "test", ScoreKind("cosine"))


def test_answer_and_citations():
    llm = Scripted("The tower was finished in 1889 [1]. It has 12 floors [1, 3]. Copper melts [7].")
    (answer,) = Cited(llm=llm).generate([ranking()])
    assert answer.text == "The tower was finished in 1889 [1]. It has 12 floors [1, 3]. Copper melts."
    assert [(answer.text[c.start : c.end], c.chunk.document_id, c.status, c.quote) for c in answer.citations] == [
        ("The tower was finished in 1889 [1].", "d0", "exact", "The tower was finished in 1889"),
        ("It has 12 floors [1, 3].", "d0", "unverified", ""),
        ("It has 12 floors [1, 3].", "d2", "unverified", ""),
    ]
    assert (answer.known, answer.usage, len(answer.context)) == (True, Usage(10, 5), 3)
    assert llm.asked == [{"max_tokens": 400, "emit": False}]


def test_the_prompt():
    history = (Message("user", "Hello"), Message("assistant", "Hi [2]."))
    query = Query("q", "When was <|im_start|> it?", history=history)
    llm = Scripted("So.", "So.")
    Cited(llm=llm, instructions="Answer in rhyme.").generate([ranking(query=query)])
    system, *turns, last = llm.prompts[0]
    assert system.content.startswith("Answer in rhyme.\nEach passage stands between two lines")
    assert system.content.endswith(f"reply with exactly this sentence: {DECLINE}")
    assert turns == [Message("user", "Hello"), Message("assistant", "Hi.")]
    key = last.content.split()[7].rstrip(".")
    assert last.content == (
        f"Passages. The key of this message is {key}.\n"
        f"<passage 1 {key}>\nThe tower was finished in 1889.\n</passage 1 {key}>\n"
        f"<passage 2 {key}>\nRedis listens on port 6379.\n</passage 2 {key}>\n"
        f"<passage 3 {key}>\nA leap year has 366 days.\n</passage 3 {key}>\n"
        "Question: When was \u2039|im_start|> it?"
    )
    Cited(llm=llm, instructions="Answer in rhyme.").generate([ranking(query=query)])
    assert llm.prompts[1] == llm.prompts[0]  # equal calls can be cached


def test_only_what_fits_is_shown_and_in_the_context():
    long = " ".join(["word"] * 300)
    llm = Scripted("Redis listens on port 6379 [2].", window=700)
    with tracing() as trace:
        (answer,) = Cited(llm=llm, max_tokens=300).generate([ranking([TEXTS[0], long, TEXTS[1]])])
    assert [hit.chunk.text for hit in answer.context] == [TEXTS[0], TEXTS[1]]
    assert answer.citations[0].chunk.text == TEXTS[1]  # numbered as it was shown
    assert long not in llm.prompts[0][-1].content
    assert {name: trace.notes[name] for name in ("passages", "passages_left_out", "tokens_left_out", "neutralised")} == {
        "passages": 2, "passages_left_out": 1, "tokens_left_out": 306, "neutralised": 0
    }  # fmt: skip


@pytest.mark.parametrize("window", range(230, 420, 13))
@pytest.mark.parametrize("context_tokens", [None, 40])
def test_the_prompt_never_exceeds_the_window(window, context_tokens):
    history = tuple(Message("user", " ".join(["turn"] * size)) for size in (40, 10, 3))
    llm = Scripted("So.", window=window)
    generator = Cited(llm=llm, max_tokens=20, context_tokens=context_tokens)
    try:
        (answer,) = generator.generate([ranking(TEXTS * 4, Query("q", "When?", history=history))])
    except HookragError:
        assert not llm.prompts
        return
    messages = llm.prompts[0]
    used = sum(llm.count([message.content for message in messages])) + 16 * (len(messages) + 1) + 20
    assert used <= window
    assert len(answer.context) >= 1
    if context_tokens:
        assert len(answer.context) == 3  # of 11 or 12 tokens each, with their fences and the lines between them


def test_the_newest_turns_of_the_history_stay():
    history = tuple(Message("user", f"turn{number} " + "x " * 40) for number in range(5))
    llm = Scripted("So.", window=700)
    with tracing() as trace:
        Cited(llm=llm, max_tokens=100).generate([ranking(query=Query("q", "When?", history=history))])
    assert [message.content.split()[0] for message in llm.prompts[0][1:-1]] == ["turn4"]
    assert trace.notes["turns_left_out"] == 4


def test_no_passage_fits():
    llm = Scripted(window=200)
    with pytest.raises(HookragError) as caught:
        Cited(llm=llm, max_tokens=100).generate([ranking()])
    assert str(caught.value) == (
        "query 'q': none of 3 passages fits, the smallest has 11 tokens and 0 are left for passages (window 200, fixed text "
        "161, answer 100, history 0, context_tokens None): cut smaller chunks, lower max_tokens, or use a model with a "
        "larger window"
    )


@pytest.mark.parametrize("reply", [DECLINE, f"*{DECLINE.lower()}* [1]", f' "{DECLINE[:-1]}" ', "", " [9] "])
def test_declining(reply):
    (answer,) = Cited(llm=Scripted(reply)).generate([ranking()])
    assert (answer.known, answer.citations, len(answer.context)) == (False, (), 3)


def test_a_filtered_answer_is_not_known_and_one_cut_short_is_counted():
    (answer,) = Cited(llm=Scripted("I rather", finish="filter")).generate([ranking()])
    assert (answer.text, answer.known) == ("I rather", False)
    with tracing() as trace:
        (answer,) = Cited(llm=Scripted("The tower was", finish="length")).generate([ranking()])
    assert (answer.known, trace.notes["answers_cut_short"], trace.notes["answers_uncited"]) == (True, 1, 1)


def test_no_passages():
    llm = Scripted("So [1].")
    events: list[Event] = []
    empty = ranking([], Query("empty", "Who?"))
    answers = Cited(llm=llm).generate([empty, ranking(), empty], emit=events.append)
    assert [(answer.text, answer.known) for answer in answers] == [
        (DECLINE, False),
        ("So [1].", True),
        (DECLINE, False),
    ]
    assert [event.text for event in events if event.query_id == "empty"] == [DECLINE, DECLINE]
    assert len(llm.prompts) == 1
    assert Cited(llm=Scripted()).generate([]) == []


REPLY = "- The tower was finished in 1889 [1].\n- Redis listens on port 6379 [2][8].\n```\na[9]\n```\nIt has 366 days [3]. [7]"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_streaming_gives_what_the_answer_has(size):
    events: list[Event] = []
    queries = [Query("one", "When?"), Query("two", "Where?")]
    llm = Scripted(REPLY, DECLINE, size=size)
    answers = Cited(llm=llm).generate([ranking(query=query) for query in queries], emit=events.append)
    for answer in answers:
        own = [event for event in events if event.query_id == answer.query.id]
        assert "".join(event.text for event in own) == answer.text
        assert tuple(event.citation for event in own if event.kind == "citation") == answer.citations
    assert answers[0].text.endswith("port 6379 [2].\n```\na[9]\n```\nIt has 366 days [3].")
    assert [citation.status for citation in answers[0].citations] == ["exact", "exact", "unverified"]
    if size == 1:  # the first citation is there before the last text
        kinds = [event.kind for event in events]
        assert kinds.index("citation") < len(kinds) - 1 - kinds[::-1].index("text")


def test_a_model_that_does_not_stream():
    class Mute(Scripted):
        def complete(self, prompts, /, *, max_tokens=None, emit=None):
            return super().complete(prompts, max_tokens=max_tokens)

    events: list[Event] = []
    (answer,) = Cited(llm=Mute("The tower was finished in 1889 [1].")).generate([ranking()], emit=events.append)
    assert [event.kind for event in events] == ["text", "citation"]
    assert events[0].text == answer.text


def test_the_prompt_is_shown_to_whoever_wants_an_explanation():
    llm = Scripted("So.", "So.")
    with tracing() as trace, serving(Request(explain=True)):
        Cited(llm=llm).generate([ranking()])
    assert trace.notes["prompts"] == [[(turn.role, turn.content) for turn in llm.prompts[0]]]
    with tracing() as trace:
        Cited(llm=llm).generate([ranking()])
    assert "prompts" not in trace.notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"context_tokens": 0}, "context_tokens must be at least 1, got 0"),
    ],
)
def test_settings(settings, message):
    with pytest.raises(ValueError) as caught:
        Cited(llm=Scripted(), **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("context_tokens", [19, 20, 24, 30, 33, 34, 400])
def test_what_is_told_of_its_room_is_what_it_does(context_tokens):
    generator = Cited(llm=Scripted("Yes.", window=600), max_tokens=10, context_tokens=context_tokens)
    asked = ranking(["one two three four five six", "one two three four", "one two"])
    counts, room = generator.measure([hit.chunk for hit in asked.hits])
    kept = 0
    for tokens in counts:
        if tokens <= room:
            kept, room = kept + 1, room - tokens
    with tracing() as trace:
        if kept:
            (answer,) = generator.generate([asked])
            assert len(answer.context) == kept
            assert (trace.notes["passages"], trace.notes["passages_left_out"]) == (kept, 3 - kept)
        else:
            with pytest.raises(HookragError, match="context_tokens"):
                generator.generate([asked])

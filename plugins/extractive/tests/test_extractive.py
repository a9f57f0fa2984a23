from __future__ import annotations

import re
from importlib import import_module

import pytest
from hookrag import Chunk, Document, Event, Hit, HookragError, Query, Ranking, ScoreKind, best, chunk_of, tracing
from hookrag_extractive import plugin
from hookrag_extractive.choosing import choose
from hookrag_extractive.generator import Extractive
from hookrag_extractive.passages import Passage, passages
from hypothesis import given, settings
from hypothesis import strategies as st

UNKNOWN = "I don't know: nothing in the sources answers this."


class WordReranker:
    """Ten times the part of the query's words that the hit's input has, less three: a scale like a logit's."""

    def __init__(self, kind="logit"):
        self.kind = kind
        self.calls: list[list[Ranking]] = []

    def rerank(self, rankings, /, *, k):
        self.calls.append(list(rankings))
        made = []
        for ranking in rankings:
            asked = words(ranking.query.text)
            hits = [Hit(hit.chunk, 10 * len(asked & words(hit.chunk.input)) / len(asked) - 3) for hit in ranking.hits]
            made.append(Ranking(ranking.query, best(hits, k), "words", ScoreKind(self.kind, "words")))
        return made


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def ranking(question: str, *texts: str, id: str = "q", title: str = "") -> Ranking:
    chunks = [chunk_of(Document(f"d{number}", text, title), 0, len(text)) for number, text in enumerate(texts)]
    hits = tuple(Hit(chunk, 1.0 - number / 10) for number, chunk in enumerate(chunks))
    return Ranking(Query(id, question), hits, "dense", ScoreKind("cosine"))


def ask(question: str, *texts: str, **options):
    (answer,) = Extractive(reranker=WordReranker(), **options).generate([ranking(question, *texts)])
    return answer


def check(answer):
    for citation in answer.citations:
        assert citation.status == "exact"
        assert citation.quote in citation.chunk.text
        assert answer.text[citation.start : citation.end].split() == citation.quote.split()
        assert answer.text[citation.end :].startswith(" [")
        assert citation.chunk in [hit.chunk for hit in answer.context]


def test_the_best_sentence_is_quoted_and_cited():
    answer = ask(
        "when was the tower finished", "Paris is large. The tower was finished in 1889. It is iron.", "Bread is baked."
    )
    assert answer.text == "The tower was finished in 1889. [1]"
    (citation,) = answer.citations
    assert (citation.start, citation.end, citation.quote) == (0, 31, "The tower was finished in 1889.")
    assert citation.chunk.document_id == "d0"
    assert [hit.chunk.document_id for hit in answer.context] == ["d0", "d1"]
    assert answer.known
    check(answer)


def test_a_second_sentence_of_the_chunk_needs_half_of_the_lead_over_the_threshold():
    # 3 of 3 words score 7, 2 score 3.67 and 1 scores 0.33
    assert ask("lee built tower", "Lee built the tower there. He left the tower to Lee.").text == (
        "Lee built the tower there. [1] He left the tower to Lee. [1]"
    )
    assert (
        ask("lee built tower", "Lee built the tower there. The tower is old.").text == "Lee built the tower there. [1]"
    )
    assert ask("lee built tower", "Lee built the tower there. He left the tower to Lee.", sentences=1).text == (
        "Lee built the tower there. [1]"
    )


def test_a_sentence_of_another_chunk_needs_four_fifths_of_it():
    question = "lee built tower of iron and stone for king anne"
    first, near = (
        "Lee built a tower of iron and stone for king Anne.",
        "He built, says Lee, no tower of iron and stone for any king.",
    )
    both = ask(question, first, near)
    assert both.text == f"{first} [1] {near} [2]"
    check(both)
    assert ask(question, first, "He built, says Lee, no tower of iron for any king.").text == f"{first} [1]"


def test_quotes_of_one_chunk_stand_in_the_order_of_its_text():
    answer = ask(
        "lee built tower", "Lee came to the tower as a guest. Lee built a second tower there.", "Bread is baked."
    )
    assert answer.text == "Lee came to the tower as a guest. [1] Lee built a second tower there. [1]"
    check(answer)


def test_sentences_of_one_chunk_share_its_number():
    answer = ask(
        "leap year days", "A leap year has 366 days. Other texts. In a leap year February has more days than usual."
    )
    assert answer.text == "A leap year has 366 days. [1] In a leap year February has more days than usual. [1]"
    check(answer)


def test_it_does_not_know_when_nothing_reaches_the_threshold():
    answer = ask("when was the tower finished", "Bread is baked.", "Copper melts.")
    assert (answer.text, answer.citations, answer.known) == (UNKNOWN, (), False)
    assert len(answer.context) == 2
    assert (
        ask("when was the tower finished", "It was finished when ready.", threshold=7.0, unknown="No idea.").text
        == "No idea."
    )


def test_it_does_not_know_without_hits_and_asks_nobody():
    reranker = WordReranker()
    (answer,) = Extractive(reranker=reranker).generate([ranking("what?")])
    assert (answer.text, answer.known, answer.context, reranker.calls) == (UNKNOWN, False, (), [])
    assert Extractive(reranker=reranker).generate([]) == []


def test_a_question_is_quoted_only_if_nothing_else_passes():
    assert (
        ask("who built the tower", "Who built the tower? The tower stands.", "Lee built the tower.").text
        == "Lee built the tower. [1]"
    )
    assert ask("who built the tower", "Who built the tower? Bread is baked.").text == "Who built the tower? [1]"


@pytest.mark.parametrize(
    "poor",
    [
        "## Install the server",
        "Install the server",
        "| install | the server |",
        "```\ninstall the server.\n```",
        "<b>install the server</b>.",
    ],
)
def test_headings_tables_code_and_markup_are_quoted_only_if_nothing_else_passes(poor):
    answer = ask("install the server", f"{poor}\n\nTo install a server, run it.")
    assert answer.text == "To install a server, run it. [1]"
    only = ask("install the server", f"{poor}\n\nBread is baked.")
    assert only.text.endswith(f"{poor.removeprefix('- ')} [1]")
    check(only)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Install the server here\n---\nTo install, run it.", [False, False, True]),  # an underlined heading
        ("All is done. - Fetch the server.", [True, True]),
        ("    # fetch the whole server here", [False]),
        ("- ## Install the server here", [False]),
        ("- ~~~\n  fetch the server.\n  ~~~", [False]),
        ("```x y z``` is how code is written here.", [True]),
    ],
)
def test_what_is_a_heading_an_item_or_code_is_told_by_the_scanner(text, expected):
    assert [passage.plain for passage in passages(Chunk("c", "d", text, 0, len(text)))] == expected


def test_a_year_at_the_beginning_of_a_line_is_no_number_of_an_item():
    text = "The war lasted, as all of them know, until\n1945. Then it was over for good."
    found = passages(Chunk("c", "d", text, 0, len(text)))
    assert [passage.quote for passage in found] == [text[:48], "Then it was over for good."]
    (item,) = passages(Chunk("c", "d", "1945. Then it was over.", 0, 23))
    assert item.quote == "Then it was over."


def test_a_list_comes_with_the_sentence_that_introduces_it():
    text = "To install the server:\n\n1. Fetch it.\n2. Run it!\n\nThen rest."
    answer = ask("how to install the server", text)
    assert answer.text == "To install the server:\n\n1. Fetch it.\n2. Run it! [1]"
    check(answer)


def test_an_item_is_quoted_without_its_marker_and_wrapped_lines_are_joined():
    answer = ask("redis listens port", "Ports:\n\n- Nothing here\n- redis listens on the usual port\n")
    assert answer.text == "Ports:\n\n- Nothing here\n- redis listens on the usual port [1]"
    answer = ask("redis listens port", "Some words.\n\n- redis listens on the usual port")
    assert answer.text == "redis listens on the usual port [1]"
    wrapped = "By default and unless told otherwise, redis\nlistens on a port of its own."
    answer = ask("redis listens port", wrapped)
    assert answer.text == "By default and unless told otherwise, redis listens on a port of its own. [1]"
    assert answer.citations[0].quote == wrapped


def test_what_is_left_of_a_torn_sentence_is_not_plain():
    document = Document("d", "The server is installed and listens on a port. It is old.")
    chunk = chunk_of(document, 28, len(document.text))
    assert [(passage.quote, passage.plain) for passage in passages(chunk)] == [
        ("listens on a port.", False),
        ("It is old.", True),
    ]


def test_a_sentence_that_points_back_is_quoted_with_the_one_before():
    text = "Lee began the tower. It was completed in 1889."
    answer = ask("completed 1889", text)
    assert answer.text == f"{text} [1]"
    assert [citation.quote for citation in answer.citations] == [text]
    check(answer)
    assert ask("completed tower", text).text == "Lee began the tower. [1] It was completed in 1889. [1]"
    assert (
        ask("completed 1889", "Lee began the tower.\n\nIt was completed in 1889.").text
        == "It was completed in 1889. [1]"
    )
    assert ask("completed 1889", "Who began?\nIt was completed in 1889.").text == "It was completed in 1889. [1]"


def test_repeated_sentences_are_asked_and_quoted_once():
    reranker = WordReranker()
    given_ranking = ranking(
        "leap year days", "A leap year has 366 days.", "A leap year has 366 days.", "Yes, a leap year has 366 days."
    )
    (answer,) = Extractive(reranker=reranker).generate([given_ranking])
    assert len(reranker.calls[0][0].hits) == 2
    assert answer.text == "A leap year has 366 days. [1]"


def test_all_queries_are_scored_in_one_call_and_answered_in_order():
    reranker = WordReranker()
    with tracing() as trace:
        answers = Extractive(reranker=reranker).generate(
            [
                ranking("copper melts", "Copper melts late.", id="a"),
                ranking("x", id="b"),
                ranking("bread", "Bread is baked.", id="c"),
            ]
        )
    assert [answer.query.id for answer in answers] == ["a", "b", "c"]
    assert [answer.known for answer in answers] == [True, False, True]
    assert [[ranking.query.id for ranking in call] for call in reranker.calls] == [["a", "c"]]
    assert trace.notes == {"passages": 2, "unknown": 1}


def test_the_reranker_reads_the_context_which_is_never_quoted():
    (answer,) = Extractive(reranker=WordReranker()).generate(
        [ranking("eiffel tower height", "It has a height of 330 m.", title="Eiffel Tower")]
    )
    assert answer.text == "It has a height of 330 m. [1]"


def test_events_tell_the_answer_piece_by_piece():
    events: list[Event] = []
    generator = Extractive(reranker=WordReranker())
    several = "A leap year has 366 days. Other texts. In a leap year February has more days than usual."
    asked = [ranking("leap year days", several, id="k"), ranking("leap year days", "Bread is baked.", id="u")]
    known, unknown = generator.generate(asked, emit=events.append)
    assert [(event.query_id, event.kind) for event in events] == [
        ("k", "text"), ("k", "citation"), ("k", "text"), ("k", "citation"), ("u", "text"),
    ]  # fmt: skip
    assert "".join(event.text for event in events if event.query_id == "k") == known.text
    assert tuple(event.citation for event in events if event.citation) == known.citations
    assert events[-1].text == unknown.text == UNKNOWN


def test_scores_of_another_kind_are_refused():
    with pytest.raises(HookragError) as error:
        Extractive(reranker=WordReranker("probability")).generate([ranking("bread", "Bread is baked.")])
    assert str(error.value) == (
        "the reranker of extractive gives scores of kind 'probability', and threshold = 0.0 is for kind 'logit': "
        "set kind = 'probability' and a threshold on that scale"
    )
    fitting = Extractive(reranker=WordReranker("probability"), kind="probability", threshold=0.5)
    assert fitting.generate([ranking("bread", "Bread is baked.")])[0].known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sentences": 0}, "sentences must be at least 1, got 0"),
        ({"threshold": float("nan")}, "threshold must be a finite number, got nan"),
        ({"threshold": float("-inf")}, "threshold must be a finite number, got -inf"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError) as error:
        Extractive(reranker=WordReranker(), **options)
    assert str(error.value) == message


@pytest.mark.parametrize("unit", ["?", "[", "- ", "a. ", "x: ", "```\n"])
def test_long_chunks_take_no_quadratic_time(unit):
    # a quadratic rule runs into the suite's time limit here
    text = unit * (300_000 // len(unit)) + "x"
    assert list(passages(Chunk("c", "d", text, 0, len(text))))


CHUNK = Chunk("c", "d", "", 0, 0)
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "Bread is baked. ",
            "bread? ",
            "\n- ",
            "\n# ",
            "\n1. ",
            "these:\n",
            "```\n",
            "| ",
            "。",
            "\r\n",
            "\0",
            " \u2028",
        ]
    ),
)


@settings(deadline=None)
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=4))
def test_any_text_gives_an_answer_whose_citations_hold(texts):
    check(ask("bread baked these", *texts))


@settings(deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join), st.integers(0, 9))
def test_passages_are_in_order_and_cover_what_is_no_marker(text, start):
    chunk = Chunk("c", "d", text, start, start + len(text))
    at = 0
    for passage in passages(chunk):
        assert at <= passage.start < passage.end <= len(text)
        assert passage.quote == passage.quote.strip()
        assert re.fullmatch(r"\s*([-*+•·‣▪●]|\d{1,3}[.)]|[A-Za-z]\))?\s*", text[at : passage.start])
        at = passage.end
    assert not text[at:].strip()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("abcdef"), st.integers(-5, 9), st.booleans()), max_size=8
    ),
    st.integers(1, 3),
)
def test_what_is_chosen_is_what_a_plain_reading_of_the_rule_chooses(rows, most):
    rows.sort(key=lambda row: -row[2])
    scored = [
        (Passage(Chunk(chunk, "d", "  " + text, 0, 1), 2, 3, plain, 2), float(score))
        for chunk, text, score, plain in rows
    ]
    pool = [row for row in rows if row[2] >= 0]
    if any(row[3] for row in pool):
        pool = [row for row in pool if row[3]]
    expected: list[tuple[str, str, int, bool]] = []
    for row in pool:
        needed = pool[0][2] * (0.5 if row[0] == pool[0][0] else 0.8)
        if row[2] >= needed and row[1] not in [other[1] for other in expected]:
            expected.append(row)
    got = choose(scored, most=most, threshold=0.0)
    wanted = [(row[0], row[1]) for row in expected[:most]]
    assert sorted((passage.chunk.id, passage.quote) for passage in got) == sorted(wanted)
    assert [passage.chunk.id for passage in got][:1] == [row[0] for row in wanted][:1]


def test_every_registered_component_can_be_imported():
    for component in plugin.generators().values():
        module, _, name = component.target.partition(":")
        assert getattr(import_module(module), name) is Extractive

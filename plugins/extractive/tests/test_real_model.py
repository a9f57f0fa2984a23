"""The default answerer with the default cross-encoder: what a user gets without any configuration of either."""

from __future__ import annotations

import pytest
from hookrag import Document, Hit, Query, Ranking, ScoreKind, chunk_of
from hookrag_cross_encoder.reranker import CrossEncoder
from hookrag_extractive.generator import Extractive

CASES = [
    (
        "When was the Eiffel Tower completed?",
        [
            "The Louvre is the largest museum of Paris.",
            "Work on the Eiffel Tower began in 1887. It was completed on 31 March 1889.",
            "The Eiffel Tower is named after an engineer.",
        ],
        "It was completed on 31 March 1889. [1]",
        1,
    ),
    (
        "What does the mitochondrion produce?",
        [
            "The mitochondrion produces ATP, which the cell uses as chemical energy.",
            "Ribosomes make proteins.",
            "The nucleus holds the genome. It has a membrane of its own.",
        ],
        "The mitochondrion produces ATP, which the cell uses as chemical energy. [1]",
        0,
    ),
    (
        "Which port does PostgreSQL listen on?",
        [
            "Redis listens on port 6379 by default.",
            "MySQL listens on port 3306.",
            "Most servers can be told. PostgreSQL listens on port 5432 unless it is configured otherwise.",
        ],
        "PostgreSQL listens on port 5432 unless it is configured otherwise. [1]",
        2,
    ),
    (
        "Who wrote Frankenstein?",
        [
            "Jane Austen wrote Emma.",
            "Mary Shelley was eighteen when she began. Frankenstein was written by Mary Shelley.",
            "Bram Stoker wrote Dracula.",
        ],
        "Frankenstein was written by Mary Shelley. [1]",
        1,
    ),
]


@pytest.fixture(scope="module")
def generator() -> Extractive:
    reranker = CrossEncoder(threads=1)
    reranker.open()
    return Extractive(reranker=reranker)


def ranking(question: str, texts: list[str]) -> Ranking:
    chunks = [chunk_of(Document(f"d{number}", text), 0, len(text)) for number, text in enumerate(texts)]
    return Ranking(Query("q", question), tuple(Hit(chunk, 1.0) for chunk in chunks), "dense", ScoreKind("cosine"))


@pytest.mark.parametrize(("question", "texts", "answer", "source"), CASES)
def test_it_answers_with_the_right_sentence_and_source(generator, question, texts, answer, source):
    (made,) = generator.generate([ranking(question, texts)])
    assert answer in made.text
    assert {citation.chunk.document_id for citation in made.citations} == {f"d{source}"}


def test_it_does_not_know_what_the_sources_do_not_say(generator):
    (made,) = generator.generate(
        [
            ranking(
                "What is the capital of Peru?",
                ["A leap year has 366 days.", "Copper melts at 1085 degrees.", "Bread is baked."],
            )
        ]
    )
    assert (made.known, made.citations) == (False, ())

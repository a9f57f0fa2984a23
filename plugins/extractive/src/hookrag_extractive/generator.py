"""The generator `extractive`: answers in the sources' own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from hookrag import (
    Answer,
    AtLeast,
    Chunk,
    Citation,
    Emit,
    Event,
    Finite,
    Hit,
    HookragError,
    Ranking,
    Reranker,
    best,
    checked,
    note,
)
from hookrag_text.markdown import Scanner

from hookrag_extractive.choosing import choose
from hookrag_extractive.passages import Passage, passages


class Extractive:
    """Quotes the sentences of the hits that the reranker scores highest, each with a citation, or says that it does not know.

    It knows an answer where a sentence scores `threshold` or more, on the reranker's scale `kind`: a threshold for logits
    says nothing about probabilities, so scores of another kind are refused.
    """

    version = 2

    @checked
    def __init__(
        self,
        *,
        reranker: Annotated[Reranker, "scores each sentence of the hits, with the context of its chunk"],
        sentences: Annotated[int, AtLeast(1), "the most sentences that an answer quotes"] = 2,
        threshold: Annotated[float, Finite(), "the score below which a sentence answers nothing"] = 0.0,
        kind: Annotated[
            str, "the kind of score that the threshold is for; a reranker with another kind is refused"
        ] = "logit",
        unknown: Annotated[
            str, "what it says when no sentence reaches the threshold"
        ] = "I don't know: nothing in the sources answers this.",
    ) -> None:
        self.reranker = reranker
        self.sentences = sentences
        self.threshold = threshold
        self.kind = kind
        self.unknown = unknown

    def generate(self, rankings: Sequence[Ranking], *, emit: Emit | None = None) -> list[Answer]:
        asked = [_Question(ranking) for ranking in rankings]
        open_ones = [question for question in asked if question.passages]
        most = max((len(question.passages) for question in open_ones), default=0)
        scored = self.reranker.rerank([question.ranking for question in open_ones], k=most) if open_ones else []
        note(passages=sum(len(question.passages) for question in open_ones))
        by_question = dict(zip(map(id, open_ones), scored, strict=True))
        return [self._answer(question, by_question.get(id(question)), emit) for question in asked]

    def _answer(self, question: _Question, scored: Ranking | None, emit: Emit | None) -> Answer:
        if scored is not None and scored.kind.name != self.kind:
            raise HookragError(
                f"the reranker of extractive gives scores of kind {scored.kind.name!r}, and threshold = {self.threshold} "
                f"is for kind {self.kind!r}: set kind = {scored.kind.name!r} and a threshold on that scale"
            )
        found = [(question.passages[hit.chunk.id], hit.score) for hit in scored.hits] if scored else []
        chosen = choose(found, most=self.sentences, threshold=self.threshold)
        writer = _Writer(question.asked, emit)
        for passage in chosen:
            writer.quote(passage.chunk, _from(passage, chosen), passage.end)
        if not chosen:
            writer.say(self.unknown)
        note(unknown=int(not chosen))
        return writer.answer()


class _Question:
    """What the reranker is asked for one query: every passage as a hit of its own, equal ones once."""

    def __init__(self, asked: Ranking) -> None:
        self.asked = asked
        self.passages: dict[str, Passage] = {}
        hits = []
        seen = set()
        for hit in asked.hits:
            for passage in passages(hit.chunk):
                if (key := (hit.chunk.context, passage.quote)) in seen:
                    continue
                seen.add(key)
                candidate = _candidate(passage)
                self.passages[candidate.id] = passage
                hits.append(Hit(candidate, hit.score))
        self.ranking = Ranking(asked.query, best(hits, len(hits)), asked.stage, asked.kind)


def _candidate(passage: Passage) -> Chunk:
    chunk = passage.chunk
    return Chunk(
        f"{chunk.id}:{passage.start}-{passage.end}",
        chunk.document_id,
        passage.quote,
        chunk.start + passage.start,
        chunk.start + passage.end,
        chunk.context,
        chunk.id,
        chunk.made_of,
        chunk.metadata,
    )


class _Writer:
    """Puts an answer together and tells of each piece as it is decided."""

    def __init__(self, ranking: Ranking, emit: Emit | None) -> None:
        self._ranking = ranking
        self._emit = emit
        self._text = ""
        self._citations: list[Citation] = []
        self._numbers: dict[str, int] = {}

    def say(self, text: str) -> None:
        self._text += text
        if self._emit:
            self._emit(Event(self._ranking.query.id, "text", text))

    def quote(self, chunk: Chunk, begin: int, end: int) -> None:
        number = self._numbers.setdefault(chunk.id, len(self._numbers) + 1)
        quote = chunk.text[begin:end]
        shown = _shown(quote)
        gap = " " if self._text else ""
        start = len(self._text) + len(gap)
        citation = Citation(start, start + len(shown), chunk, quote, "exact")
        self._citations.append(citation)
        self.say(f"{gap}{shown} [{number}]")
        if self._emit:
            self._emit(Event(self._ranking.query.id, "citation", citation=citation))

    def answer(self) -> Answer:
        known = bool(self._citations)
        return Answer(self._ranking.query, self._text, tuple(self._citations), self._ranking.hits, known=known)


def _from(passage: Passage, chosen: Sequence[Passage]) -> int:
    """Where its quote begins: with the sentence before, if it needs that and nothing else quotes it."""
    quoted = any(
        other is not passage
        and other.chunk.id == passage.chunk.id
        and other.start < passage.start
        and passage.lead < other.end
        for other in chosen
    )
    return passage.start if quoted else passage.lead


def _shown(quote: str) -> str:
    """The quote with wrapped lines joined; the lines of a list or of code are kept."""
    lines = quote.splitlines()
    if any(line.rstrip().endswith((":", "\uff1a")) for line in lines[:-1]) or Scanner().kind(lines[0]) == "fence":
        return quote
    return " ".join(line.strip() for line in lines)

"""The generator `cited`: a language model answers from the passages, and its citations are checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from hookrag import (
    LLM,
    Answer,
    AtLeast,
    Chunk,
    Citation,
    Completion,
    Emit,
    Event,
    Hit,
    HookragError,
    Message,
    Query,
    Ranking,
    checked,
    explaining,
    note,
)

from hookrag_citations.checking import MARKER, Markers, citations
from hookrag_citations.prompt import DECLINE, INSTRUCTIONS, Draft, draft

# What a chat template may add to each message, and before the first: role names, marks, a default greeting.
_TEMPLATE_TOKENS = 16
_HISTORY_SHARE = 4


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt that fits: the passages in it are `kept` of the draft's hits, by place."""

    draft: Draft
    messages: list[Message]
    kept: tuple[int, ...]

    @property
    def passages(self) -> list[Chunk]:
        return [self.draft.hits[place].chunk for place in self.kept]


class _Stream:
    """Passes one answer on as it is written; citations follow when their line is whole."""

    def __init__(self, prompt: _Prompt, emit: Emit) -> None:
        self._query_id = prompt.draft.query.id
        self._passages = prompt.passages
        self._markers = Markers(len(prompt.kept))
        self._emit = emit
        self._text = ""
        self._whole = 0
        self._cited = 0

    def feed(self, piece: str) -> None:
        self._pass_on(self._markers.feed(piece))
        whole = self._text.rfind("\n") + 1
        if whole > self._whole:
            self._whole = whole
            self._pass_citations(citations(self._text[:whole], self._passages))

    def end(self, answer: Answer) -> None:
        """The rest of the text, and the citations of the finished answer that were not passed on yet."""
        self._pass_on(self._markers.end() if self._text else answer.text)
        self._pass_citations(answer.citations)

    def _pass_on(self, text: str) -> None:
        if text:
            self._text += text
            self._emit(Event(self._query_id, "text", text))

    def _pass_citations(self, found: Sequence[Citation]) -> None:
        for citation in found[self._cited :]:
            self._emit(Event(self._query_id, "citation", citation=citation))
        self._cited = max(self._cited, len(found))


class Cited:
    """Answers with the help of a language model that sees the passages as fenced data and cites them as [1].

    Passages are taken in the order of the ranking, as long as they fit into the llm's window (and into `context_tokens`)
    beside `max_tokens` of answer; one that does not fit is left out as a whole, also of the answer's context, and counted.
    The history may take a quarter of the room, its newest turns first. `instructions` replace the first sentence of the
    prompt; the rules on passages and citations stay.

    A citation is a sentence of the answer and a passage: exact or repaired where the sentence, or what it puts in quotation
    marks, is in the passage word for word, and its numbers are too; unverified otherwise. Numbers of passages that do not
    exist are taken out of the answer. The answer is not `known` where there is no passage, or the model declined.
    """

    version = 2

    @checked
    def __init__(
        self,
        *,
        llm: Annotated[LLM, "the language model that answers"],
        max_tokens: Annotated[int, AtLeast(1), "the most tokens that an answer has"] = 400,
        context_tokens: Annotated[
            int | None, AtLeast(1), "the most tokens of passages in a prompt; without it, what the window leaves"
        ] = None,
        instructions: Annotated[
            str | None, "the first part of the system message; without it, how to answer and when to decline"
        ] = None,
    ) -> None:
        self.llm = llm
        self.max_tokens = max_tokens
        self.context_tokens = context_tokens
        self.instructions = instructions

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        """One answer a ranking, all prompts in one batch. Raises HookragError where not one passage fits."""
        asked = [place for place, ranking in enumerate(rankings) if ranking.hits]
        prompts = self._prompts([rankings[place] for place in asked])
        streams = [_Stream(prompt, emit) for prompt in prompts] if emit else []
        if explaining():
            note(prompts=[[(turn.role, turn.content) for turn in prompt.messages] for prompt in prompts])
        made: list[list[Completion]] = []
        if prompts:
            made = self.llm.complete(
                [prompt.messages for prompt in prompts],
                max_tokens=self.max_tokens,
                emit=(lambda index, text: streams[index].feed(text)) if streams else None,
            )
        answers = [Answer(ranking.query, DECLINE, known=False) for ranking in rankings]
        for index, (place, prompt, (completion,)) in enumerate(zip(asked, prompts, made, strict=True)):
            answers[place] = _answer(prompt, completion)
            if streams:
                streams[index].end(answers[place])
        if emit is not None:
            for answer in answers:
                if not answer.context:
                    emit(Event(answer.query.id, "text", answer.text))
        return answers

    def measure(self, passages: Sequence[Chunk], /) -> tuple[list[int], int]:
        """The tokens of each passage as it stands in a prompt, and how many there is room for beside a question of 32 words."""
        instructions = INSTRUCTIONS if self.instructions is None else self.instructions
        one = draft(Query("", " ".join(["question"] * 32)), [Hit(chunk, 0.0) for chunk in passages], instructions)
        counts = self.llm.count(_texts(one))
        room = self.llm.window - self._fixed(counts)
        # A line break stands between two passages.
        return [tokens + 1 for tokens in counts[2:]], max(0, min(room, self.context_tokens or room))

    def _prompts(self, rankings: Sequence[Ranking]) -> list[_Prompt]:
        instructions = INSTRUCTIONS if self.instructions is None else self.instructions
        drafts = [draft(ranking.query, ranking.hits, instructions) for ranking in rankings]
        texts = [_texts(one) for one in drafts]
        counts = iter(self.llm.count([text for each in texts for text in each]) if texts else ())
        return [self._fitted(one, [next(counts) for _ in each]) for one, each in zip(drafts, texts, strict=True)]

    def _fitted(self, one: Draft, counts: Sequence[int]) -> _Prompt:
        history, blocks = counts[2 : 2 + len(one.history)], counts[2 + len(one.history) :]
        window = self.llm.window
        fixed = self._fixed(counts)
        room = window - fixed
        turns, taken = 0, 0
        for tokens in reversed(history):
            if taken + tokens + _TEMPLATE_TOKENS > room // _HISTORY_SHARE:
                break
            turns, taken = turns + 1, taken + tokens + _TEMPLATE_TOKENS
        room -= taken
        if self.context_tokens is not None:
            room = min(room, self.context_tokens)
        kept: list[int] = []
        free = room
        for place, tokens in enumerate(blocks):
            if tokens < free:
                kept.append(place)
                free -= tokens + 1  # the line break between two passages
        if not kept:
            raise HookragError(
                f"query {one.query.id!r}: none of {len(blocks)} passages fits, the smallest has {min(blocks)} tokens and "
                f"{max(room, 0)} are left for passages (window {window}, fixed text {fixed - self.max_tokens}, answer "
                f"{self.max_tokens}, history {taken}, context_tokens {self.context_tokens}): cut smaller chunks, lower "
                f"max_tokens, or use a model with a larger window"
            )
        left_out = [tokens for place, tokens in enumerate(blocks) if place not in kept]
        note(
            passages=len(kept),
            passages_left_out=len(left_out),
            tokens_left_out=sum(left_out),
            turns_left_out=len(history) - turns,
            neutralised=one.neutralised,
        )
        return _Prompt(one, one.messages(turns, kept), tuple(kept))

    def _fixed(self, counts: Sequence[int]) -> int:
        """The tokens of all but history and passages: instructions, question, what a template adds, and the answer."""
        return counts[0] + counts[1] + 3 * _TEMPLATE_TOKENS + self.max_tokens


def _texts(one: Draft) -> list[str]:
    blocks = [one.block(place, place + 1) for place in range(len(one.hits))]
    return [one.system, f"{one.opening}\n{one.question}", *(turn.content for turn in one.history), *blocks]


def _answer(prompt: _Prompt, completion: Completion) -> Answer:
    markers = Markers(len(prompt.kept))
    text = markers.feed(completion.text) + markers.end()
    context = tuple(prompt.draft.hits[place] for place in prompt.kept)
    known = completion.finish != "filter" and not _declines(text)
    cited = citations(text, prompt.passages) if known else ()
    note(
        citations=len(cited),
        citations_unverified=sum(citation.status == "unverified" for citation in cited),
        citations_dropped=markers.dropped,
        answers_uncited=int(known and not cited),
        answers_cut_short=int(completion.finish == "length"),
        answers_filtered=int(completion.finish == "filter"),
    )
    return Answer(prompt.draft.query, text, cited, context, completion.usage, known)


def _declines(text: str) -> bool:
    """Whether an answer is the sentence of declining, whatever stands around it, or nothing at all."""
    plain = MARKER.sub("", text).strip(" \t\n\"'*.").casefold()
    return plain in ("", DECLINE.rstrip(".").casefold())
